"""Show the spread of AUC over pairs of prompts as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tier_cli.evaluation.sections.prompts import SPREAD

if TYPE_CHECKING:
    from rich.console import Console


def show_prompts(content: Mapping[str, Any], console: Console) -> None:
    """Print one line per finding: all prompts together, and the spread of single pairs."""
    title = f"Prompts: AUC of single pairs of prompts, {content['n']} {content['plural']}"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim")
    table.add_column("finding", max_width=30, overflow="fold")
    for name in ("pairs", "together", *SPREAD):
        table.add_column(name, justify="right")
    for row in content["findings"]:
        table.add_row(Text(row["finding"]), str(len(row["pairs"])), *_cells(row))
    table.add_section()
    table.add_row(Text(f"mean of {content['averaged']}", style="bold"), "", *_cells(content["macro"]))
    console.print(table)


def _cells(row: Mapping[str, Any]) -> list[str]:
    return ["-" if row[name] is None else f"{row[name]:.3f}" for name in ("combined", *SPREAD)]
