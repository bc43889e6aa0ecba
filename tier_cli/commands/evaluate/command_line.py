"""Write down the command line of a run, so that its report can be repeated."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from tier_cli.datasets.registry import CSV


def command_line(dataset: str, root: Path | None) -> str:
    """Return the command as typed, preceded by TIER_DATA_ROOT if a data set was read from there."""
    data_root = os.environ.get("TIER_DATA_ROOT")
    uses_root = dataset != CSV and root is None and data_root
    setting = f"TIER_DATA_ROOT={shlex.quote(data_root or '')} " if uses_root else ""
    return setting + shlex.join(["tier", *sys.argv[1:]])
