"""What was fitted, finding by finding, as a table for people with notes below it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text


def show_figures(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str],
    console: Console,
    name_width: int,
) -> None:
    """Print cross-validated figures.

    Parameters
    ----------
    columns, rows
        Headings of the figures; the finding's name and its figures.
    notes
        What to know about them, a line each.
    console
        Where to print.
    name_width
        How wide the names of findings may be.
    """
    table = Table(box=None, header_style="dim", padding=(0, 1))
    table.add_column("finding", max_width=name_width, overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    for note in notes:
        console.print(Padding(Text(note, style="dim"), (0, 0, 0, 2), expand=False))
