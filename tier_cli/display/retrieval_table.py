"""Show how well images and reports find each other as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tier_cli.display.table_parts import finding_table, print_table
from tier_cli.evaluation.intervals import interval_text, value_text
from tier_cli.evaluation.sections.retrieval_measures import PRECISIONS

if TYPE_CHECKING:
    from rich.console import Console

_DIRECTIONS = {"image_to_report": "image to report", "report_to_image": "report to image"}


def show_retrieval(content: Mapping[str, Any], console: Console) -> None:
    """Print both directions, then the findings."""
    for one in content["directions"]:
        kind = _DIRECTIONS[one["direction"]]
        title = f"Retrieval, {kind}: {one['queries']} queries, {one['gallery']} candidates"
        print_table(console, title, _direction(one))
    console.print(Text(content["rule"], style="dim"))
    title = "Images nearest to a finding's prompts: share that have the finding"
    print_table(console, title, _precisions(content))


def _direction(one: Mapping[str, Any]) -> Table:
    table = Table(box=None, header_style="dim")
    table.add_column("", min_width=14)
    for name in ("value", "95% interval", "chance"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in one["recall"]:
        cells = (value_text(row), Text(interval_text(row)), f"{row['chance']:.3f}")
        table.add_row(f"recall at {row['k']}", *cells)
    median, form = one["median_rank"], ".1f"
    cells = (value_text(median, form), Text(interval_text(median, form)), str(median["chance"]))
    table.add_row("median rank", *cells)
    return table


def _precisions(content: Mapping[str, Any]) -> Table:
    table = finding_table("n", "positive", *(f"first {k}" for k in PRECISIONS), "95% interval", "chance")
    for row in content["findings"]:
        *_, last = row["precision"]
        table.add_row(
            Text(row["finding"]),
            str(row["n"]),
            str(row["positives"]),
            *(value_text(one) for one in row["precision"]),
            Text(interval_text(last)),
            "-" if row["chance"] is None else f"{row['chance']:.3f}",
        )
    return table
