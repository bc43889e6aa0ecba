"""The options that commands share, spelt and explained once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tier_cli.model.checkpoint import DEFAULT_MODEL


class EngineName(StrEnum):
    """What computes."""

    AUTO = "auto"
    ONNX = "onnx"
    TORCH = "torch"


class DeviceName(StrEnum):
    """Where it computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class ViewsName(StrEnum):
    """Which views are scored."""

    FRONTAL = "frontal"
    ALL = "all"


class Unit(StrEnum):
    """What one result is of."""

    IMAGE = "image"
    STUDY = "study"


def known_dataset(name: str | None) -> str | None:
    """For ``callback``: the name used here of a data set that others call otherwise."""
    from tier_cli.datasets.registry import dataset_name

    return None if name is None else dataset_name(name)


_IMAGES, _MODEL, _RESULTS, _SPEED = "Images", "Model and findings", "Results", "Speed"

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH",
        help="DICOM, PNG, JPEG or TIFF files, folders, globs, or - for a list on stdin, one path a line.",
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Option(metavar="NAME|FOLDER", help="The checkpoint, by name or folder.", rich_help_panel=_MODEL),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME|FOLDER",
        help="The checkpoint, by name or folder; given several times, the mean of their scores. "
        f"{DEFAULT_MODEL} by default.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Findings = Annotated[
    str | None,
    typer.Option(
        metavar="SET",
        help="A built-in set, a FILE.toml, or texts such as 'pneumothorax,rib fracture'; "
        "the checkpoint's own set by default.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Engine = Annotated[
    EngineName, typer.Option(help="What computes; auto: onnx on CPU, else torch.", rich_help_panel=_MODEL)
]
Device = Annotated[
    DeviceName, typer.Option(help="Where; auto: a CUDA GPU where there is one.", rich_help_panel=_MODEL)
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Images the model takes at a time; 8 on CPU, else 32.",
        show_default=False,
        rich_help_panel=_SPEED,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Decoding processes; one a CPU, at most 8. With 0 this process decodes.",
        show_default=False,
        rich_help_panel=_SPEED,
    ),
]
Views = Annotated[
    ViewsName, typer.Option(help="Score frontal views only, or laterals too.", rich_help_panel=_IMAGES)
]
Window = Annotated[
    int,
    typer.Option(
        min=1, metavar="N", help="Which of several windows of a DICOM file.", rich_help_panel=_IMAGES
    ),
]
AcceptAny = Annotated[
    bool,
    typer.Option(
        "--accept-any",
        help="Score other modalities, body parts and images for processing too.",
        rich_help_panel=_IMAGES,
    ),
]
By = Annotated[
    Unit,
    typer.Option(help="One result an image, or a study: the mean of its images.", rich_help_panel=_RESULTS),
]
Top = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="K",
        help="The K highest scores only; scales differ between findings.",
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
        help="Write a .csv, .json, .jsonl or .parquet file instead of stdout.",
        show_default=False,
        rich_help_panel=_RESULTS,
    ),
]
Wide = Annotated[
    bool,
    typer.Option("--wide", help="One column a finding, for .csv and .parquet.", rich_help_panel=_RESULTS),
]
FailFast = Annotated[
    bool,
    typer.Option(
        "--fail-fast", help="End with the first file that cannot be scored.", rich_help_panel=_RESULTS
    ),
]
HashIds = Annotated[
    bool,
    typer.Option(
        "--hash-ids",
        help="Give keyed hashes instead of paths and UIDs: HMAC-SHA256 with the key in TIER_HASH_KEY, "
        "else with a random key for this run.",
        rich_help_panel=_RESULTS,
    ),
]
IncludePhi = Annotated[
    bool,
    typer.Option(
        "--include-phi",
        help="Add the patient's name, id, dates and accession number.",
        rich_help_panel=_RESULTS,
    ),
]
