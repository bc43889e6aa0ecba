"""The options of `tier eval` alone."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tier_cli.commands.options import known_dataset
from tier_cli.datasets.registry import DATASETS

_DATA, _NUMBERS, _MODEL, _RESULTS = "Data", "Numbers", "Model and findings", "Results"


class Uncertain(StrEnum):
    """What becomes of labels of -1."""

    IGNORE = "ignore"
    POSITIVE = "positive"
    NEGATIVE = "negative"


class UnitName(StrEnum):
    """What is counted."""

    IMAGE = "image"
    STUDY = "study"
    PATIENT = "patient"


Data = Annotated[
    Path | None,
    typer.Option(
        metavar="MANIFEST.csv",
        help="One row an image: path, patient, and a column a finding (1, 0, blank, -1 = uncertain).",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Dataset = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"csv for your own manifest in --data, or one of {', '.join(DATASETS)}.",
        callback=known_dataset,
        rich_help_panel=_DATA,
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="The folder of the data set (TIER_DATA_ROOT); with --data, where its paths start.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Rows to evaluate; test where there is one, else valid, else all.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=VALUE",
        help="Drop these rows; may be repeated.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Unsure = Annotated[
    Uncertain, typer.Option(help="What labels of -1 count as. Blanks never count.", rich_help_panel=_DATA)
]
Model = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|FOLDER",
        help="The checkpoint; several times: the mean of their scores. tier-small unless --scores is given.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
ScoresFile = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Scores made elsewhere, CSV or Parquet; may be repeated: the first set minus each other.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Compare = Annotated[
    tuple[str, str] | None,
    typer.Option(
        metavar="A B",
        help="Two models or files of scores: measure both, and A minus B with p values.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Probabilities = Annotated[
    bool,
    typer.Option(
        "--probabilities",
        help="The file's scores are probabilities: Brier score and calibration error too.",
        rich_help_panel=_MODEL,
    ),
]
Join = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column that the scores and the manifest share; path, else instance, by default.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
By = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN,...",
        help="Measure also within each group, e.g. sex,age,view; ages in bands.",
        show_default=False,
        rich_help_panel=_NUMBERS,
    ),
]
Unit = Annotated[
    UnitName | None,
    typer.Option(
        help="What is counted: scores are averaged over its images. The data set's own unit, else image.",
        show_default=False,
        rich_help_panel=_NUMBERS,
    ),
]
SelectOn = Annotated[
    str | None,
    typer.Option(
        metavar="SPLIT",
        help="Choose thresholds on this split, whose patients are others.",
        show_default=False,
        rich_help_panel=_NUMBERS,
    ),
]
OperatingPoint = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="How: youden (the default), f1, mcc, sensitivity=0.9 or specificity=0.9.",
        show_default=False,
        rich_help_panel=_NUMBERS,
    ),
]
Replicates = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Resamplings of patients for intervals.", rich_help_panel=_NUMBERS),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the resamplings.", rich_help_panel=_NUMBERS)]
Exclusive = Annotated[
    bool,
    typer.Option(
        "--exclusive",
        help="Every image has exactly one finding: top-1 accuracy too, as always for chexpert-5x200.",
        rich_help_panel=_NUMBERS,
    ),
]
Corrupt = Annotated[
    str | None,
    typer.Option(
        metavar="KIND,...",
        help="Score damaged images too: all, or noise, blur, contrast, rotation, jpeg, crop, inversion.",
        show_default=False,
        rich_help_panel=_NUMBERS,
    ),
]
PromptSensitivity = Annotated[
    bool,
    typer.Option(
        "--prompt-sensitivity",
        help="Measure every pair of prompts of a finding on its own.",
        rich_help_panel=_NUMBERS,
    ),
]
Grounding = Annotated[
    bool,
    typer.Option(
        "--grounding",
        help="Measure whether patches stand out where boxes or masks of the manifest are.",
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
        help="Write a page too, complete in itself: tables, curves, worst errors, protocol.",
        show_default=False,
        rich_help_panel=_RESULTS,
    ),
]
ReportImages = Annotated[
    bool,
    typer.Option(
        "--report-images/--no-report-images",
        help="Small pictures of the worst errors; text in their pixels can be read.",
        rich_help_panel=_RESULTS,
    ),
]
ReportPaths = Annotated[
    bool,
    typer.Option(
        "--report-paths",
        help="Write paths of images into the page; they may hold keys of patients.",
        rich_help_panel=_RESULTS,
    ),
]
ReportNote = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Write a paragraph into the page, such as what the data's licence asks for.",
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
        help="Write .json or .csv instead of JSON on stdout.",
        show_default=False,
        rich_help_panel=_RESULTS,
    ),
]
