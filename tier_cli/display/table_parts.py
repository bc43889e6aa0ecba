"""Parts that the tables of an evaluation share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tier_cli.console import printable

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.evaluation.measure import Metric


def print_table(console: Console, title: str, table: Table) -> None:
    """Print a title, if any, and a table; Rich itself would wrap the title at the table's width."""
    if title:
        console.print(Text(title, style="bold"))
    console.print(table)


def finding_table(*columns: str) -> Table:
    """Return an empty table with one row per finding."""
    table = Table(box=None, header_style="dim")
    table.add_column("finding", max_width=26, overflow="fold")
    for name in columns:
        table.add_column(Text(name), justify="right", no_wrap=True)
    return table


def label(finding: str, labels: Mapping[str, str]) -> Text:
    """Return the display name of a finding."""
    return Text(printable(labels.get(finding, finding)))


def interval(metric: Metric, form: str = ".2f") -> Text:
    """Format a number with its interval in one cell; a hyphen if there is none."""
    if math.isnan(metric.value):
        return Text("-")
    bounds = f"[{metric.low:{form}}, {metric.high:{form}}]"
    return Text(f"{metric.value:{form}} {bounds if math.isfinite(metric.low) else ''}".rstrip())


def p_text(p: float | None) -> str:
    """Format a p value; empty for none."""
    if p is None or math.isnan(p):
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"
