"""Show several models on several data sets as tables of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tier_cli.console import printable
from tier_cli.display.table_parts import interval, print_table

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.evaluation.model_table import Cell, ModelTable

# As many models as fit beside the names of data sets.
_WIDE = 2


def show_model_table(table: ModelTable, console: Console) -> None:
    """Print the mean AUC of each model on each data set, then what failed and what lacks scores.

    Parameters
    ----------
    table
        The numbers.
    console
        Where to print.
    """
    how = table.resampling
    title = f"Mean AUC over findings; intervals: {how.level:.0%}, {how.replicates} resamplings of patients"
    for first in range(0, len(table.models), _WIDE):
        print_table(console, title, _block(table, table.models[first : first + _WIDE]))
        title = ""
    for cell in table.cells.values():
        for text in _remarks(cell):
            place = f"{printable(cell.dataset)}, {printable(cell.model)}"
            console.print(Text(f"{place}: {printable(text)}", style="yellow"), soft_wrap=True)


def _block(table: ModelTable, models: Sequence[str]) -> Table:
    block = Table(box=None, header_style="dim")
    block.add_column("data set", max_width=18, overflow="fold")
    block.add_column("n", justify="right", no_wrap=True)
    for model in models:
        block.add_column(Text(printable(model)), justify="right", max_width=22, overflow="fold")
    for dataset in table.datasets:
        cells = [table.cells.get((dataset, model)) for model in models]
        numbers = [cell.measured.n for cell in cells if cell is not None and cell.measured is not None]
        counts = "/".join(str(number) for number in dict.fromkeys(numbers))
        block.add_row(Text(printable(dataset)), counts or "-", *(_area(cell) for cell in cells))
    return block


def _area(cell: Cell | None) -> Text:
    if cell is None or cell.measured is None:
        return Text("-")
    return interval(cell.measured.macro["auc"], ".3f")


def _remarks(cell: Cell) -> list[str]:
    if cell.report is None:
        return [cell.reason]
    unscored = len(cell.report.unscored)
    seen = [f"trained on: {one.text}" for one in cell.report.trained_on]
    return [*seen, *([f"{unscored} images have no scores and do not count"] if unscored else [])]
