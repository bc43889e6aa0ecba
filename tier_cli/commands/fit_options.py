"""The options that `tier calibrate` and `tier adapt` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_DATA, _RESULTS = "Data", "Results"

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
        help="csv, or a public data set such as chexpert, read from --root.",
        rich_help_panel=_DATA,
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where a public data set lies, or where relative paths of a manifest start.",
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
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="The copy of the checkpoint folder: a new folder.",
        show_default=False,
        rich_help_panel=_RESULTS,
    ),
]
