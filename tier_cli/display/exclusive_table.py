"""Show top-1 accuracy as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tier_cli.console import printable
from tier_cli.display.table_parts import print_table
from tier_cli.evaluation.intervals import interval_text, value_text

if TYPE_CHECKING:
    from rich.console import Console


def show_exclusive(content: Mapping[str, Any], console: Console) -> None:
    """Print the accuracy of each score set."""
    title = (
        f"Top-1 accuracy: {content['n']} {content['unit']} of {content['patients']} patients, "
        f"chance {content['chance']:.3f}"
    )
    table = Table(box=None, header_style="dim")
    table.add_column("scores", max_width=40, overflow="fold")
    for name in ("accuracy", "95% interval"):
        table.add_column(name, justify="right")
    for one in content["scores"]:
        accuracy = one["accuracy"]
        table.add_row(Text(printable(one["name"])), value_text(accuracy), Text(interval_text(accuracy)))
    print_table(console, title, table)
