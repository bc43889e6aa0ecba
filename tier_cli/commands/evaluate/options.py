"""Declare the options of `tier eval`; `tier calibrate` and `tier adapt` share those of its data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tier_cli.commands.options import known_dataset, option, switch
from tier_cli.datasets.registry import DATASETS
from tier_cli.evaluation import settings
from tier_cli.model.checkpoint import DEFAULT_MODEL

_DATA, _IMAGES, _NUMBERS = "Data", "Images", "Numbers"
_MODEL, _RESULTS = "Model and findings", "Results"


Views = Annotated[
    settings.Views, typer.Option(help="Use only frontal views, or all views.", rich_help_panel=_IMAGES)
]
Data = Annotated[
    Path | None,
    option(
        _DATA,
        "MANIFEST.csv",
        "One row per image: path, patient, and one column per finding (1, 0, blank, -1 = uncertain).",
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
    option(
        _DATA,
        "NAME[=FOLDER]",
        f"Data set: csv for a manifest given with --data or as csv=FILE, or one of {', '.join(DATASETS)}. "
        "Repeat for a table of models by data sets.",
        "--dataset",
    ),
]
Root = Annotated[
    Path | None,
    option(
        _DATA,
        "FOLDER",
        "Folder of the data set (TIER_DATA_ROOT); with --data, the folder its paths are relative to.",
    ),
]
Split = Annotated[
    str | None,
    option(_DATA, "NAME", "Rows to evaluate: a split, or all. Default: test, else valid, else all."),
]
Exclude = Annotated[
    list[str] | None,
    option(_DATA, "COLUMN=VALUE", "Drop these rows. Repeatable."),
]
ExcludeTrained = Annotated[
    bool,
    switch(
        _DATA,
        "--exclude-trained",
        "Drop images, and patients, that the model was trained on, as its own list says.",
    ),
]
Unsure = Annotated[
    settings.Uncertain,
    typer.Option(help="What labels of -1 count as; blanks never count.", rich_help_panel=_DATA),
]
Model = Annotated[
    list[str] | None,
    option(
        _MODEL,
        "NAME|FOLDER",
        "Checkpoint; repeat to average several, or for the rows of a table of several data sets. Default: "
        f"{DEFAULT_MODEL}, unless --scores is given.",
    ),
]
ScoresFile = Annotated[
    list[Path] | None,
    option(
        _MODEL,
        "FILE",
        "Scores made elsewhere, CSV or Parquet. Repeat to subtract each further set from the first.",
    ),
]
Compare = Annotated[
    tuple[str, str] | None,
    option(_MODEL, "A B", "Measure two models or files of scores, and A minus B with p values."),
]
Probabilities = Annotated[
    bool,
    switch(
        _MODEL,
        "--probabilities",
        "Treat scores from files as probabilities; adds Brier score and calibration error.",
    ),
]
Join = Annotated[
    str | None,
    option(_MODEL, "COLUMN", "Column shared by scores and manifest. Default: path, else instance."),
]
By = Annotated[
    str | None,
    option(_NUMBERS, "COLUMN,...", "Also measure within groups, e.g. sex,age,view; ages in bands."),
]
Unit = Annotated[
    settings.Unit | None,
    typer.Option(
        help="Unit to count; scores are averaged over its images. Default: that of the data set, else image.",
        show_default=False,
        rich_help_panel=_NUMBERS,
    ),
]
SelectOn = Annotated[
    str | None,
    option(_NUMBERS, "SPLIT", "Choose thresholds on this split, which must have other patients."),
]
OperatingPoint = Annotated[
    str | None,
    option(
        _NUMBERS,
        "RULE",
        "How to choose thresholds: youden (default), f1, mcc, sensitivity=0.9 or specificity=0.9.",
    ),
]
Prevalence = Annotated[
    list[str] | None,
    option(
        _NUMBERS,
        "SHARE|FINDING=SHARE",
        "Also give PPV and NPV at this share of positives: 0.02, or pneumothorax=0.02. Repeatable.",
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
    switch(
        _NUMBERS,
        "--exclusive",
        "Add top-1 accuracy, for images with exactly one finding each; always on for chexpert-5x200.",
    ),
]
Corrupt = Annotated[
    str | None,
    option(
        _NUMBERS,
        "KIND,...",
        "Also score corrupted images: all, or noise, blur, contrast, rotation, jpeg, crop, inversion.",
    ),
]
PromptSensitivity = Annotated[
    bool,
    switch(_NUMBERS, "--prompt-sensitivity", "Measure each pair of a finding's prompts on its own."),
]
Grounding = Annotated[
    bool,
    switch(
        _NUMBERS,
        "--grounding",
        "Measure whether patches stand out inside the boxes or masks of the manifest.",
    ),
]
GroundingProtocol = Annotated[
    str | None,
    option(
        _NUMBERS,
        "NAME,...",
        "Measure --grounding as published too: all, or radzero, carzero, chexlocalize.",
    ),
]
Retrieval = Annotated[
    bool,
    switch(
        _NUMBERS,
        "--retrieval",
        "Measure how well images find their reports (column text), and reports their images.",
    ),
]
Report = Annotated[
    str | None,
    option(_RESULTS, "FILE.html", "Write a self-contained page: tables, curves, worst errors, protocol."),
]
ReportImages = Annotated[
    bool,
    switch(
        _RESULTS,
        "--report-images/--no-report-images",
        "Show small pictures of the worst errors; text in their pixels is readable.",
    ),
]
ReportPaths = Annotated[
    bool,
    switch(_RESULTS, "--report-paths", "Write image paths into the page; they may contain patient keys."),
]
ReportNote = Annotated[
    str | None,
    option(
        _RESULTS,
        "TEXT",
        "Add a paragraph to the page, such as the acknowledgement the data's licence asks for.",
    ),
]
Output = Annotated[
    str | None,
    option(_RESULTS, "FILE", "Write a .json or .csv file instead of JSON on stdout.", "--output", "-o"),
]
