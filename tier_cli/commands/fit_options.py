"""Declare the options that only `tier calibrate` and `tier adapt` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from tier_cli.commands.options import option

FIT_PANEL = "Fit"

Output = Annotated[
    Path,
    option("Results", "FOLDER", "New folder for the copy of the checkpoint.", "--output", "-o"),
]


def split_option(default: str) -> Any:
    """Return the option for the split to fit on; `default` is used by data that have splits."""
    return option("Data", "NAME", f"Split to fit on. Default: {default}, or all rows if there are no splits.")
