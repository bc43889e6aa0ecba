"""Show groups and the gaps between them as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tier_cli.console import printable
from tier_cli.display.table_parts import finding_table, interval, label, print_table
from tier_cli.evaluation.subgroups import RULE
from tier_cli.evaluation.units import PLURALS

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.evaluation.report import Report
    from tier_cli.evaluation.subgroups import Gap, Group

# The number of columns that fit beside the names of findings and the gap.
_MOST_BESIDE = 4


def show_groups(report: Report, labels: Mapping[str, str], console: Console) -> None:
    """Print, for each column and score set, the groups, then the findings in each group and the gaps.

    Parameters
    ----------
    report
        The numbers.
    labels
        Display names of the findings, by id.
    console
        Where to print.
    """
    for by in dict.fromkeys(group.by for group in report.groups):
        groups = [group for group in report.groups if group.by == by]
        for number, measured in enumerate(report.measured):
            gaps = [gap for gap in report.gaps if gap.by == by and gap.scores == measured.name]
            title = f"{printable(measured.name)}: by {printable(by)}"
            print_table(console, title, _overview(groups, number, PLURALS[report.protocol.unit]))
            if gaps or len(groups) <= _MOST_BESIDE:
                console.print(_findings(groups, number, gaps, labels))
    if report.groups:
        console.print(Text(f"? = group too small: {RULE}", style="dim"))


def _overview(groups: Sequence[Group], number: int, plural: str) -> Table:
    table = Table(box=None, header_style="dim")
    table.add_column("group", max_width=24, overflow="fold")
    for name in (plural, "patients", "mean AUC", "of", "large enough"):
        table.add_column(name, justify="right")
    for group in groups:
        measured = group.measured[number]
        enough = sum(not reason for reason in group.too_small[number].values())
        counts = (str(measured.n), str(measured.patients))
        area = interval(measured.macro["auc"], ".3f")
        area.append("" if enough else "?")
        of = "1 finding" if measured.averaged == 1 else f"{measured.averaged} findings"
        table.add_row(Text(printable(group.value)), *counts, area, of, str(enough))
    return table


def _findings(groups: Sequence[Group], number: int, gaps: Sequence[Gap], labels: Mapping[str, str]) -> Table:
    """Build the table of each finding's AUC by group, as far as there is room, and of the largest gap."""
    beside = groups if len(groups) <= _MOST_BESIDE else ()
    table = finding_table(*(printable(group.value) for group in beside), "AUC gap", "highest, lowest")
    known = {gap.finding: gap for gap in gaps}
    for place, row in enumerate(groups[0].measured[number].rows):
        if not beside and row.finding not in known:
            continue
        cells = [_area(group, number, place) for group in beside]
        table.add_row(label(row.finding, labels), *cells, *_gap(known.get(row.finding)))
    mean = known.get("macro")
    if mean is not None:
        table.add_section()
        blanks = ("" for _ in beside)
        table.add_row(Text(f"mean of {mean.averaged}", style="bold"), *blanks, *_gap(mean))
    return table


def _area(group: Group, number: int, place: int) -> Text:
    row = group.measured[number].rows[place]
    value = row.metrics["auc"].value
    if math.isnan(value):
        return Text("-")
    return Text(f"{value:.2f}{'?' if group.too_small[number][row.finding] else ' '}")


def _gap(gap: Gap | None) -> tuple[Text, Text]:
    if gap is None:
        return Text("-"), Text("")
    return interval(gap.metric), Text(printable(f"{gap.highest}, {gap.lowest}"))
