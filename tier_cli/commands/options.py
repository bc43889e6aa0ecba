"""Declare the options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tier_cli.model.checkpoint import DEFAULT_MODEL


class EngineName(StrEnum):
    """The engine that computes."""

    AUTO = "auto"
    ONNX = "onnx"
    TORCH = "torch"


class DeviceName(StrEnum):
    """The device that computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class ViewsName(StrEnum):
    """The views that are scored."""

    FRONTAL = "frontal"
    ALL = "all"


class ReadViewsName(StrEnum):
    """The views that are scored where files are read one by one."""

    FRONTAL = "frontal"
    STRICT = "strict"
    ALL = "all"


class Unit(StrEnum):
    """The unit of one result."""

    IMAGE = "image"
    STUDY = "study"


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
    typer.Option(
        "--model",
        metavar="NAME|FOLDER",
        help="Name or folder of the checkpoint; repeat the option to average the scores of several. "
        f"Default: {DEFAULT_MODEL}.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Findings = Annotated[
    str | None,
    typer.Option(
        metavar="SET",
        help="A built-in set, a FILE.toml, or texts such as 'pneumothorax,rib fracture'. "
        "Default: the checkpoint's own set.",
        show_default=False,
        rich_help_panel=_MODEL,
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
    typer.Option(
        min=1,
        metavar="N",
        help="Images per batch. Default: 8 on CPU, else 32.",
        show_default=False,
        rich_help_panel=_SPEED,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Decoding processes; 0 decodes in the main process. Default: one per CPU, at most 8.",
        show_default=False,
        rich_help_panel=_SPEED,
    ),
]
Views = Annotated[
    ViewsName, typer.Option(help="Use only frontal views, or all views.", rich_help_panel=_IMAGES)
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
    typer.Option(
        "--accept-any",
        help="Also use other modalities, other body parts and images FOR PROCESSING.",
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
    typer.Option(
        min=1,
        metavar="K",
        help="Keep only the K highest scores; note that scales differ between findings.",
        show_default=False,
        rich_help_panel=_RESULTS,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write a .csv, .json, .jsonl or .parquet file instead of stdout; - for JSON lines on stdout.",
        show_default=False,
        rich_help_panel=_RESULTS,
    ),
]
Table = Annotated[
    bool,
    typer.Option(
        "--table", help="Print tables also where stdout is a pipe or a file.", rich_help_panel=_RESULTS
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Score nothing; say which files would be read, with which model, and for about how long.",
        rich_help_panel=_RESULTS,
    ),
]
Wide = Annotated[
    bool,
    typer.Option(
        "--wide", help="Write one column per finding (.csv and .parquet).", rich_help_panel=_RESULTS
    ),
]
FailFast = Annotated[
    bool,
    typer.Option("--fail-fast", help="Stop at the first file that cannot be used.", rich_help_panel=_RESULTS),
]
HashIds = Annotated[
    bool,
    typer.Option(
        "--hash-ids",
        help="Replace paths and UIDs by keyed hashes (HMAC-SHA256); the key is TIER_HASH_KEY, "
        "or random for this run.",
        rich_help_panel=_RESULTS,
    ),
]
IncludePhi = Annotated[
    bool,
    typer.Option(
        "--include-phi",
        help="Add patient name, patient id, dates and accession number.",
        rich_help_panel=_RESULTS,
    ),
]
