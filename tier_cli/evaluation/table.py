"""An evaluation as tables for people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tier_cli.console import printable

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.evaluation.measure import Measured, Metric
    from tier_cli.evaluation.report import Group, Report

_MOST_LISTED = 10


def show(report: Report, labels: Mapping[str, str], console: Console) -> None:
    """Print all tables; `show_notes` says what is missing and what should be known.

    Parameters
    ----------
    report
        The numbers.
    labels
        Names of the findings for people, by id.
    console
        Where to print.
    """
    protocol, how = report.protocol, report.protocol.resampling
    console.print(
        Text(
            f"{printable(protocol.data)}, split {printable(protocol.split)}, {protocol.images} images; "
            f"intervals: {how.level:.0%}, {how.replicates} resamplings of patients, seed {how.seed}",
            style="dim",
        )
    )
    for measured in report.measured:
        console.print(_metrics(measured, labels))
    if report.difference is not None:
        console.print(_metrics(report.difference, labels, signed=True))
    for by in dict.fromkeys(group.by for group in report.groups):
        for number in range(len(report.measured)):
            console.print(_groups([g for g in report.groups if g.by == by], number, labels))


def show_notes(report: Report, console: Console) -> None:
    """Print what should be known, then which images have no scores."""
    for note in report.notes:
        console.print(Text(printable(note), style="dim"))
    _tell_unscored(report, console)


def _metrics(measured: Measured, labels: Mapping[str, str], signed: bool = False) -> Table:
    title = f"{printable(measured.name)}: {measured.n} images of {measured.patients} patients"
    # A difference is of the same images as the tables before it; without their counts it fits 80 columns.
    counts = () if signed else ("n", "positives")
    table = _table(title, *counts, "AUC", "95% interval", "AUPRC", "95% interval")
    for row in measured.rows:
        numbers = () if signed else (str(row.n), str(row.positives))
        table.add_row(_label(row.finding, labels), *numbers, *_values(row.metrics, signed))
    table.add_section()
    mean = Text(f"mean of {measured.averaged}", style="bold")
    table.add_row(mean, *("" for _ in counts), *_values(measured.macro, signed))
    return table


def _groups(groups: Sequence[Group], number: int, labels: Mapping[str, str]) -> Table:
    """AUC of one score set within each group, side by side."""
    measured = [group.measured[number] for group in groups]
    title = f"{printable(measured[0].name)}: AUC within each {printable(groups[0].by)}"
    heads = [
        f"{printable(g.value) or '(blank)'}\n{m.n} images" for g, m in zip(groups, measured, strict=True)
    ]
    table = _table(title, *heads)
    for place, row in enumerate(measured[0].rows):
        cells = [Text(_short(group.rows[place].metrics["auc"])) for group in measured]
        table.add_row(_label(row.finding, labels), *cells)
    table.add_section()
    table.add_row(
        Text("mean", style="bold"), *(f"{_short(m.macro['auc'])} of {m.averaged}" for m in measured)
    )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=None, header_style="dim")
    table.add_column("finding", max_width=34, overflow="fold")
    for name in columns:
        table.add_column(Text(name), justify="right")
    return table


def _label(finding: str, labels: Mapping[str, str]) -> Text:
    return Text(printable(labels.get(finding, finding)))


def _values(metrics: Mapping[str, Metric], signed: bool) -> Iterator[Text]:
    form = "+.3f" if signed else ".3f"
    for metric in (metrics["auc"], metrics["auprc"]):
        there = not math.isnan(metric.value)
        yield Text(f"{metric.value:{form}}" if there else "-")
        yield Text(f"[{metric.low:{form}}, {metric.high:{form}}]" if there else "")


def _short(metric: Metric) -> str:
    if math.isnan(metric.value):
        return "-"
    return f"{metric.value:.3f} [{metric.low:.2f}, {metric.high:.2f}]"


def _tell_unscored(report: Report, console: Console) -> None:
    if not report.unscored:
        return
    many = len(report.unscored)
    console.print(
        Text(f"{many} of {report.protocol.images} images have no scores and count nowhere:", style="yellow")
    )
    for image in report.unscored[:_MOST_LISTED]:
        console.print(Text(f"  {printable(image.path)}: {printable(image.message)}"), soft_wrap=True)
    if many > _MOST_LISTED:
        console.print(Text(f"  and {many - _MOST_LISTED} more, all in the JSON document"))
