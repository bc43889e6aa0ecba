"""The options of `tier train` about its data and its starting weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tier_cli.commands.options import ViewsName, known_dataset
from tier_cli.commands.train import names
from tier_cli.datasets.registry import trainable_names

_DATA, _START = "Data", "Starting weights"

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="MANIFEST.csv",
        help="One row an image: path, patient, split, and text or labels.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Dataset = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"csv for a manifest given with --data, or one of {', '.join(trainable_names())}.",
        callback=known_dataset,
        rich_help_panel=_DATA,
    ),
]
TextName = Annotated[
    names.Text | None,
    typer.Option(
        metavar="PART",
        help="What of the reports: impression, findings or both; labels: captions written from labels. "
        "Without it a manifest's texts are taken as they are, of a data set's the impression.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Views = Annotated[
    ViewsName, typer.Option(help="Train on lateral views too; they are never watched.", rich_help_panel=_DATA)
]
TrainSplit = Annotated[str, typer.Option(metavar="NAME", help="Rows to train on.", rich_help_panel=_DATA)]
ValidSplit = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Rows to watch after each epoch; valid where there is one, else drawn.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
ValidData = Annotated[
    Path | None,
    typer.Option(
        metavar="MANIFEST.csv",
        help="Watch these images, all of other patients, in place of a part of the training data.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
ValidDataset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The same with a public data set, such as chexpert, for its own finding set.",
        show_default=False,
        callback=known_dataset,
        rich_help_panel=_DATA,
    ),
]
ValidRoot = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="The folder of --valid-dataset (TIER_DATA_ROOT), or where the paths of --valid-data start.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
ValidShare = Annotated[
    float,
    typer.Option(
        metavar="X",
        min=0,
        max=0.9,
        help="Share of the patients to watch where no split is for that.",
        rich_help_panel=_DATA,
    ),
]
SplitSeed = Annotated[int, typer.Option(metavar="N", help="Which patients these are.", rich_help_panel=_DATA)]
MaxBad = Annotated[
    int,
    typer.Option(
        metavar="N", min=0, help="So many unreadable images of a run are left out.", rich_help_panel=_DATA
    ),
]
Init = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|DIR",
        help="A checkpoint: both towers, heads, tokenizer, preprocessing.",
        show_default=False,
        rich_help_panel=_START,
    ),
]
ImageTower = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Image encoder: config.json, safetensors.",
        show_default=False,
        rich_help_panel=_START,
    ),
]
TextTower = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Text encoder with its tokenizer.json.",
        show_default=False,
        rich_help_panel=_START,
    ),
]
FreezeImageBlocks = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="Keep the first blocks as they are; their output is computed once.",
        rich_help_panel=_START,
    ),
]
FreezeTextLayers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Keep the embeddings and first layers as they are; 4, or all but two where that is fewer.",
        show_default=False,
        rich_help_panel=_START,
    ),
]
