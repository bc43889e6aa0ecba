"""Declare the options that only `tier calibrate` and `tier adapt` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

FIT_PANEL = "Fit"

Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="New folder for the copy of the checkpoint.",
        show_default=False,
        rich_help_panel="Results",
    ),
]


def split_option(default: str) -> Any:
    """Return the option for the split to fit on; `default` is used by data that have splits."""
    return typer.Option(
        metavar="NAME",
        help=f"Split to fit on. Default: {default}, or all rows if there are no splits.",
        show_default=False,
        rich_help_panel="Data",
    )
