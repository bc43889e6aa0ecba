"""Declare the options of `tier eval`; `tier calibrate` and `tier adapt` share those of its data."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tier_cli.commands.options import known_dataset
from tier_cli.datasets.registry import DATASETS
from tier_cli.model.checkpoint import DEFAULT_MODEL

_DATA, _NUMBERS, _MODEL, _RESULTS = "Data", "Numbers", "Model and findings", "Results"


class Uncertain(StrEnum):
    """What labels of -1 count as."""

    IGNORE = "ignore"
    POSITIVE = "positive"
    NEGATIVE = "negative"


class UnitName(StrEnum):
    """The unit that is counted."""

    IMAGE = "image"
    STUDY = "study"
    PATIENT = "patient"


Data = Annotated[
    Path | None,
    typer.Option(
        metavar="MANIFEST.csv",
        help="One row per image: path, patient, and one column per finding (1, 0, blank, -1 = uncertain).",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Dataset = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"Data set: csv for a manifest given with --data, or one of {', '.join(DATASETS)}.",
        callback=known_dataset,
        rich_help_panel=_DATA,
    ),
]
Datasets = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        metavar="NAME[=FOLDER]",
        help="Data set: csv for a manifest given with --data or as csv=FILE, or one of "
        f"{', '.join(DATASETS)}. Repeat for a table of models by data sets.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder of the data set (TIER_DATA_ROOT); with --data, the folder its paths are relative to.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Rows to evaluate: a split, or all. Default: test, else valid, else all.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=VALUE",
        help="Drop these rows. Repeatable.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
ExcludeTrained = Annotated[
    bool,
    typer.Option(
        "--exclude-trained",
        help="Drop images, and patients, that the model was trained on, as its own list says.",
        rich_help_panel=_DATA,
    ),
]
Unsure = Annotated[
    Uncertain, typer.Option(help="What labels of -1 count as; blanks never count.", rich_help_panel=_DATA)
]
Model = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|FOLDER",
        help=f"Checkpoint; repeat to average several, or for rows of a table of several data sets. Default: "
        f"{DEFAULT_MODEL}, unless --scores is given.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
ScoresFile = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Scores made elsewhere, CSV or Parquet. Repeat to subtract each further set from the first.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Compare = Annotated[
    tuple[str, str] | None,
    typer.Option(
        metavar="A B",
        help="Measure two models or files of scores, and A minus B with p values.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Probabilities = Annotated[
    bool,
    typer.Option(
        "--probabilities",
        help="Treat scores from files as probabilities; adds Brier score and calibration error.",
        rich_help_panel=_MODEL,
    ),
]
Join = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column shared by scores and manifest. Default: path, else instance.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
By = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN,...",
        help="Also measure within groups, e.g. sex,age,view; ages in bands.",
        show_default=False,
        rich_help_panel=_NUMBERS,
    ),
]
Unit = Annotated[
    UnitName | None,
    typer.Option(
        help="Unit to count; scores are averaged over its images. Default: that of the data set, else image.",
        show_default=False,
        rich_help_panel=_NUMBERS,
    ),
]
SelectOn = Annotated[
    str | None,
    typer.Option(
        metavar="SPLIT",
        help="Choose thresholds on this split, which must have other patients.",
        show_default=False,
        rich_help_panel=_NUMBERS,
    ),
]
OperatingPoint = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="How to choose thresholds: youden (default), f1, mcc, sensitivity=0.9 or specificity=0.9.",
        show_default=False,
        rich_help_panel=_NUMBERS,
    ),
]
Prevalence = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SHARE|FINDING=SHARE",
        help="Also give PPV and NPV at this share of positives: 0.02, or pneumothorax=0.02. Repeatable.",
        show_default=False,
        rich_help_panel=_NUMBERS,
    ),
]
Replicates = Annotated[
    int,
    typer.Option(
        min=1, metavar="N", help="Resamplings of patients for the intervals.", rich_help_panel=_NUMBERS
    ),
]
Seed = Annotated[
    int, typer.Option(min=0, metavar="N", help="Seed of the resamplings.", rich_help_panel=_NUMBERS)
]
Exclusive = Annotated[
    bool,
    typer.Option(
        "--exclusive",
        help="Add top-1 accuracy, for images with exactly one finding each; always on for chexpert-5x200.",
        rich_help_panel=_NUMBERS,
    ),
]
Corrupt = Annotated[
    str | None,
    typer.Option(
        metavar="KIND,...",
        help="Also score corrupted images: all, or noise, blur, contrast, rotation, jpeg, crop, inversion.",
        show_default=False,
        rich_help_panel=_NUMBERS,
    ),
]
PromptSensitivity = Annotated[
    bool,
    typer.Option(
        "--prompt-sensitivity",
        help="Measure each pair of a finding's prompts on its own.",
        rich_help_panel=_NUMBERS,
    ),
]
Grounding = Annotated[
    bool,
    typer.Option(
        "--grounding",
        help="Measure whether patches stand out inside the boxes or masks of the manifest.",
        rich_help_panel=_NUMBERS,
    ),
]
Retrieval = Annotated[
    bool,
    typer.Option(
        "--retrieval",
        help="Measure how well images find their reports (column text), and reports their images.",
        rich_help_panel=_NUMBERS,
    ),
]
Report = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.html",
        help="Write a self-contained page: tables, curves, worst errors, protocol.",
        show_default=False,
        rich_help_panel=_RESULTS,
    ),
]
ReportImages = Annotated[
    bool,
    typer.Option(
        "--report-images/--no-report-images",
        help="Show small pictures of the worst errors; text in their pixels is readable.",
        rich_help_panel=_RESULTS,
    ),
]
ReportPaths = Annotated[
    bool,
    typer.Option(
        "--report-paths",
        help="Write image paths into the page; they may contain patient keys.",
        rich_help_panel=_RESULTS,
    ),
]
ReportNote = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Add a paragraph to the page, such as the acknowledgement the data's licence asks for.",
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
        help="Write a .json or .csv file instead of JSON on stdout.",
        show_default=False,
        rich_help_panel=_RESULTS,
    ),
]
