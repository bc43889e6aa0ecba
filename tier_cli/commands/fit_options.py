"""The option that `tier calibrate` and `tier adapt` share; those of data are `tier eval`'s."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="The copy of the checkpoint folder: a new folder.",
        show_default=False,
        rich_help_panel="Results",
    ),
]
