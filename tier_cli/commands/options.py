"""Declare the options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from tier_cli.errors import UsageError, did_you_mean
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.results.record import Unit


class EngineName(StrEnum):
    """The engine that computes."""

    AUTO = "auto"
    ONNX = "onnx"
    TORCH = "torch"


class RunnerName(StrEnum):
    """What distributes the work."""

    LOCAL = "local"
    RAY = "ray"


class DeviceName(StrEnum):
    """The device that computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class ReadViewsName(StrEnum):
    """The views that are scored where files are read one by one."""

    FRONTAL = "frontal"
    STRICT = "strict"
    ALL = "all"


class DecodeName(StrEnum):
    """How much of an image is decoded."""

    FAST = "fast"
    FULL = "full"


class InputCheckName(StrEnum):
    """What happens to an image that does not look like a frontal chest X-ray."""

    NOTE = "note"
    REFUSE = "refuse"
    OFF = "off"


def option(panel: str, metavar: str, text: str, *names: str, **settings: Any) -> Any:
    """Declare an option with a value; its help says what happens without it."""
    return typer.Option(
        *names, metavar=metavar, help=text, rich_help_panel=panel, show_default=False, **settings
    )


def names_in(text: str, known: Sequence[str], where: str, what: str) -> tuple[str, ...]:
    """Return the names in a list separated by commas, each once; raises `UsageError` for an unknown one."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in names:
        if name not in known:
            raise UsageError(
                f"unknown {what} '{name}'{did_you_mean(name, known)}",
                where=where,
                remedy=f"choose from {', '.join(known)}",
            )
    return names


def switch(panel: str, name: str, text: str) -> Any:
    """Declare an option without a value."""
    return typer.Option(name, help=text, rich_help_panel=panel)


def known_dataset(name: str | None) -> str | None:
    """Return the canonical name of a data set, for ``callback``."""
    from tier_cli.datasets.registry import dataset_name

    return None if name is None else dataset_name(name)


def numbers(text: str, option: str) -> list[float]:
    """Return the numbers of a list such as ``0.3,0.7``; raises `UsageError` naming the option."""
    from tier_cli.errors import UsageError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"'{text}' is not a list of numbers", where=option, remedy="give for example 0.3,0.7"
        ) from None


_UNITS = {"MB": 10**6, "MIB": 2**20, "GB": 10**9, "GIB": 2**30}
# The decoders themselves take about a hundred megabytes.
_LEAST_MEMORY = 200_000_000


def size_of(text: str | int, option: str, least: int) -> int:
    """Return the bytes of a size such as ``2GB``; raises `UsageError` naming the option."""
    from tier_cli.errors import UsageError

    if isinstance(text, int):
        return text
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(MB|MiB|GB|GiB)", text.strip(), re.IGNORECASE)
    if found is None:
        raise UsageError(f"'{text}' is not a size", where=option, remedy="give for example 500MB or 2GB")
    size = int(float(found[1]) * _UNITS[found[2].upper()])
    if size < least:
        raise UsageError(f"{text} is too little", where=option, remedy=f"give {least // 10**6}MB or more")
    return size


def memory_size(text: str | int) -> int:
    """Return the bytes of ``--memory-per-file``, see `size_of`."""
    return size_of(text, "--memory-per-file", _LEAST_MEMORY)


_IMAGES, _MODEL, _RESULTS, _SPEED = "Images", "Model and findings", "Results", "Speed"

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH",
        help="DICOM, PNG, JPEG or TIFF files, folders, globs, or a list with one path per line: "
        "a .txt, .lst or .list file, or - for stdin.",
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Option(metavar="NAME|FOLDER", help="Name or folder of the checkpoint.", rich_help_panel=_MODEL),
]
Models = Annotated[
    list[str] | None,
    option(
        _MODEL,
        "NAME|FOLDER",
        "Name or folder of the checkpoint; repeat the option to average the scores of several. "
        f"Default: {DEFAULT_MODEL}.",
        "--model",
    ),
]
Findings = Annotated[
    str | None,
    option(
        _MODEL,
        "SET",
        "A built-in set, a FILE.toml, or texts such as 'pneumothorax,rib fracture'. "
        "Default: the checkpoint's own set.",
    ),
]
Engine = Annotated[
    EngineName,
    typer.Option(help="Engine; auto uses onnx on CPU and torch on other devices.", rich_help_panel=_MODEL),
]
Device = Annotated[
    DeviceName,
    typer.Option(help="Device; auto uses a CUDA GPU if there is one.", rich_help_panel=_MODEL),
]
BatchSize = Annotated[
    int | None,
    option(_SPEED, "N", "Images per batch. Default: 8 on CPU, else 32.", min=1),
]
Workers = Annotated[
    int | None,
    option(
        _SPEED,
        "N",
        "Decoding processes; 0 decodes in the main process. Default: one per CPU, at most 8.",
        min=0,
    ),
]
Runner = Annotated[
    RunnerName,
    typer.Option(help="Run on this machine, or with Ray on a cluster.", rich_help_panel=_SPEED),
]
RayAddress = Annotated[
    str | None,
    option(
        _SPEED,
        "HOST:PORT",
        "The Ray cluster to join. Default: RAY_ADDRESS, else Ray is started on this machine alone.",
        "--ray-address",
    ),
]
TimeoutPerFile = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        help="Refuse a file that takes longer to read. Default: 60.",
        rich_help_panel=_SPEED,
        min=0.1,
        show_default=False,
    ),
]
MemoryPerFile = Annotated[
    int,
    typer.Option(
        metavar="SIZE",
        help="Refuse a file that takes more memory to read; on Linux. Default: 2GB.",
        rich_help_panel=_SPEED,
        parser=memory_size,
        show_default=False,
    ),
]
ReadViews = Annotated[
    ReadViewsName,
    typer.Option(
        help="Score only frontal views, only those whose view is certain, or all.", rich_help_panel=_IMAGES
    ),
]
Window = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Use the N-th window of a DICOM file.", rich_help_panel=_IMAGES),
]
AcceptAny = Annotated[
    bool,
    switch(_IMAGES, "--accept-any", "Also use other modalities, other body parts and images FOR PROCESSING."),
]
Decode = Annotated[
    DecodeName,
    typer.Option(
        help="Read no more pixels than the checkpoint needs, which is far faster, or all of them.",
        rich_help_panel=_IMAGES,
    ),
]
InputCheck = Annotated[
    InputCheckName,
    typer.Option(
        help="Note or refuse images that do not look like frontal chest X-rays, if the checkpoint can tell.",
        rich_help_panel=_IMAGES,
    ),
]
By = Annotated[
    Unit,
    typer.Option(
        help="One result per image, or per study (the mean of its images).", rich_help_panel=_RESULTS
    ),
]
Top = Annotated[
    int | None,
    option(
        _RESULTS,
        "K",
        "Keep only the K findings that stand out most: by odds if calibrated, else by score.",
        min=1,
    ),
]
Output = Annotated[
    str | None,
    option(
        _RESULTS,
        "FILE",
        "Write a .csv, .json, .jsonl or .parquet file instead of stdout; - for JSON lines on stdout.",
        "--output",
        "-o",
    ),
]
Journal = Annotated[
    str | None,
    option(
        _RESULTS,
        "FILE",
        "Keep the results in this journal as they come. Default with --output: FILE.journal beside the "
        "output, until the run is complete.",
    ),
]
Resume = Annotated[
    bool,
    switch(_RESULTS, "--resume", "Go on with the journal of an interrupted run; without one, start."),
]
ContentHashes = Annotated[
    bool,
    switch(
        _RESULTS,
        "--content-hashes",
        "Note a hash of each file in the journal, so that --resume notices changes that keep size and time.",
    ),
]
ShardOption = Annotated[
    str | None,
    option(
        _RESULTS,
        "I/N",
        "Score only part I of N, the same on every machine; tier merge joins the parts.",
        "--shard",
    ),
]
Table = Annotated[
    bool,
    switch(_RESULTS, "--table", "Print tables also where stdout is a pipe or a file."),
]
DryRun = Annotated[
    bool,
    switch(
        _RESULTS,
        "--dry-run",
        "Score nothing; say which files would be read, with which model, and for about how long.",
    ),
]
Wide = Annotated[
    bool,
    switch(_RESULTS, "--wide", "Write one column per finding (.csv and .parquet)."),
]
FailFast = Annotated[
    bool,
    switch(_RESULTS, "--fail-fast", "Stop at the first file that cannot be used."),
]
HashIds = Annotated[
    bool,
    switch(
        _RESULTS,
        "--hash-ids",
        "Replace paths and UIDs by keyed hashes (HMAC-SHA256); the key is TIER_HASH_KEY, "
        "or random for this run.",
    ),
]
IncludePhi = Annotated[
    bool,
    switch(_RESULTS, "--include-phi", "Add patient name, patient id, dates and accession number."),
]
