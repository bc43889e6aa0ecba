"""The options of `tier eval` alone."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_DATA, _NUMBERS, _MODEL, _RESULTS = "Data", "Numbers", "Model and findings", "Results"


class Uncertain(StrEnum):
    """What becomes of labels of -1."""

    IGNORE = "ignore"
    POSITIVE = "positive"
    NEGATIVE = "negative"


Data = Annotated[
    Path,
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
        metavar="NAME", help="How the data are laid out; only csv in this version.", rich_help_panel=_DATA
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where relative paths start; the manifest's folder by default.",
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
    str | None,
    typer.Option(
        metavar="NAME|FOLDER",
        help="The checkpoint, by name or folder; tier-small unless --scores is given.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
ScoresFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Scores made elsewhere, CSV or Parquet; with --model too, the paired difference.",
        show_default=False,
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
        help="Measure also within each value of these columns.",
        show_default=False,
        rich_help_panel=_NUMBERS,
    ),
]
Replicates = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Resamplings of patients for intervals.", rich_help_panel=_NUMBERS),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the resamplings.", rich_help_panel=_NUMBERS)]
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
