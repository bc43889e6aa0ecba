"""Show an evaluation as tables of 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tier_cli.console import printable
from tier_cli.display.group_table import show_groups
from tier_cli.display.table_parts import finding_table, interval, label, p_text, print_table
from tier_cli.evaluation.measure import HEADINGS
from tier_cli.evaluation.units import PLURALS
from tier_cli.evaluation.yardsticks import TITLE
from tier_cli.metrics.statistics import AT_PREVALENCE, ECE_IF_CALIBRATED, PROBABILITIES, RECHOSEN

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.evaluation.measure import Measured, Metric
    from tier_cli.evaluation.protocol import Protocol
    from tier_cli.evaluation.report import Report
    from tier_cli.evaluation.scores import Unscored
    from tier_cli.evaluation.yardsticks import Yardstick

_MOST_LISTED = 5
# The metrics of calls, as many to a table as fit beside the names of findings.
_CALLS = (("sensitivity", "specificity"), ("ppv", "npv"), ("lr_positive", "lr_negative"), ("mcc", "f1"))
_PROBABILITIES = (("brier", "ece", "ece_if_calibrated"), ("calibration_slope", "calibration_intercept"))
_FORMS = dict(zip(RECHOSEN, (".3f", ".2f", ".2f"), strict=True))
_DIFFERENCES = (("auc",), ("auprc",), ("mcc", "f1"), ("sensitivity", "specificity"), ("brier",), ("ece",))


def show(report: Report, labels: Mapping[str, str], console: Console) -> None:
    """Print all tables; `show_notes` prints the notes and the images without scores.

    Parameters
    ----------
    report
        The numbers.
    labels
        Display names of the findings, by id.
    console
        Where to print.
    """
    protocol = report.protocol
    console.print(Text(_protocol_line(protocol), style="dim"))
    for seen in report.trained_on:
        console.print(Text(f"Trained on: {printable(seen.text)}.", style="bold yellow"))
    plural = PLURALS[protocol.unit]
    for measured in report.measured:
        title = f"{printable(measured.name)}: {measured.n} {plural} of {measured.patients} patients"
        print_table(console, title, _ranking(measured, labels))
        for title, table in _further(measured, labels):
            print_table(console, title, table)
    if report.yardsticks:
        print_table(console, TITLE, _published(report.yardsticks))
        sources = dict.fromkeys(one.source for one in report.yardsticks)
        for line in (*sources, report.yardsticks_caveat):
            console.print(Text(printable(line), style="dim"))
    for difference in report.differences:
        for title, table in _differences(difference, labels, plural):
            print_table(console, title, table)
    show_groups(report, labels, console)


def show_notes(report: Report, console: Console) -> None:
    """Print the notes, then the images without scores."""
    for note in report.notes:
        console.print(Text(printable(note), style="dim"))
    _show_unscored(report.unscored, report.protocol.images, "do not count", console)
    selected = report.protocol.selected_on
    if selected is not None:
        outcome = f"were not used to choose thresholds on split {printable(selected.split)}"
        _show_unscored(selected.unscored, selected.images, outcome, console)


def _protocol_line(protocol: Protocol) -> str:
    how = protocol.resampling
    return (
        f"{printable(protocol.data)}, split {printable(protocol.split)}, {protocol.images} images, "
        f"by {protocol.unit}; "
        f"intervals: {how.level:.0%}, {how.replicates} resamplings of patients, seed {how.seed}"
    )


def _ranking(measured: Measured, labels: Mapping[str, str]) -> Table:
    table = finding_table("n", "positives", "AUC", "95% interval", "AUPRC", "95% interval")
    for row in measured.rows:
        table.add_row(label(row.finding, labels), str(row.n), str(row.positives), *_wide(row.metrics))
    table.add_section()
    table.add_row(_mean(measured, "auc"), "", "", *_wide(measured.macro))
    if measured.macro_without:
        table.add_row(_mean_without(measured), "", "", *_wide(measured.macro_without))
    return table


def _published(yardsticks: Sequence[Yardstick]) -> Table:
    table = Table(box=None, header_style="dim")
    table.add_column("model", max_width=34, overflow="fold")
    table.add_column("mean AUC", justify="right", no_wrap=True)
    table.add_column("prompts", overflow="fold")
    for one in yardsticks:
        table.add_row(Text(one.model), f"{one.auc:.3f}", Text(one.prompts))
    return table


def _further(measured: Measured, labels: Mapping[str, str]) -> Iterator[tuple[str, Table]]:
    """Yield tables of calls, if there are thresholds, and of probabilities, each with its title."""
    thresholds = measured.thresholds
    if thresholds is not None and any(math.isfinite(row.threshold) for row in measured.rows):
        how = f" by {thresholds.rule}" if thresholds.rule else ""
        title = f"{printable(measured.name)}: calls, thresholds of {printable(thresholds.source)}{how}"
        for number, names in enumerate(_CALLS):
            last_table = number == len(_CALLS) - 1
            heads = [*(HEADINGS[name] for name in names), *(["threshold"] if last_table else [])]
            table = finding_table(*heads)
            for row in measured.rows:
                last = [Text(_plain(row.threshold))] if last_table else []
                table.add_row(label(row.finding, labels), *_short(row.metrics, names), *last)
            if names[0] in measured.macro:
                table.add_section()
                table.add_row(_mean(measured, names[0]), *_short(measured.macro, names))
            yield ("" if number else title), table
        if RECHOSEN[0] in measured.rows[0].metrics:
            yield "95% intervals if every resampling chooses the thresholds anew", _rechosen(measured, labels)
        if any(math.isfinite(row.prevalence) for row in measured.rows):
            yield (
                f"{printable(measured.name)}: predictive values at a given prevalence",
                _at_prevalence(measured, labels),
            )
    if set(PROBABILITIES) <= set(measured.macro):
        title = f"{printable(measured.name)}: probabilities"
        for columns, form in zip(_PROBABILITIES, (".3f", ".2f"), strict=True):
            table = finding_table(*(HEADINGS[name] for name in columns))
            for row in measured.rows:
                table.add_row(label(row.finding, labels), *_probability_cells(row.metrics, columns, form))
            table.add_section()
            table.add_row(_mean(measured, columns[0]), *_probability_cells(measured.macro, columns, form))
            yield title, table
            title = ""


def _rechosen(measured: Measured, labels: Mapping[str, str]) -> Table:
    table = finding_table("threshold", "sensitivity", "specificity")
    for row in measured.rows:
        cells = (_bounds(row.metrics[name], form) for name, form in _FORMS.items())
        table.add_row(label(row.finding, labels), *cells)
    table.add_section()
    means = (_bounds(measured.macro[name], _FORMS[name]) for name in RECHOSEN[1:])
    table.add_row(_mean(measured, RECHOSEN[1]), "", *means)
    return table


def _bounds(metric: Metric, form: str) -> Text:
    known = math.isfinite(metric.low)
    return Text(f"[{metric.low:{form}}, {metric.high:{form}}]" if known else "-")


def _at_prevalence(measured: Measured, labels: Mapping[str, str]) -> Table:
    table = finding_table("prevalence", "PPV", "NPV")
    for row in measured.rows:
        if math.isfinite(row.prevalence):
            cells = _short(row.metrics, AT_PREVALENCE, ".3f")
            table.add_row(label(row.finding, labels), f"{row.prevalence:g}", *cells)
    return table


def _differences(difference: Measured, labels: Mapping[str, str], plural: str) -> Iterator[tuple[str, Table]]:
    title = f"{printable(difference.name)}: {difference.n} {plural} of {difference.patients} patients"
    for names in _DIFFERENCES:
        if not set(names) <= set(difference.macro):
            continue
        # Areas and errors differ by little and need three digits, so each has a table of its own.
        form = "+.3f" if len(names) == 1 else "+.2f"
        parts = ("", "p", "p Holm") if len(names) == 1 else ("", "p Holm")
        table = finding_table(*(part or HEADINGS[name] for name in names for part in parts))
        for row in difference.rows:
            cells = [cell for name in names for cell in _tested(row.metrics[name], form, len(parts) > 2)]
            table.add_row(label(row.finding, labels), *cells)
        table.add_section()
        cells = [cell for name in names for cell in _tested(difference.macro[name], form, len(parts) > 2)]
        table.add_row(_mean(difference, names[0]), *cells)
        if difference.macro_without:
            without = [difference.macro_without[name] for name in names]
            cells = [cell for metric in without for cell in _tested(metric, form, len(parts) > 2)]
            table.add_row(_mean_without(difference), *cells)
        yield title, table
        title = ""


def _tested(metric: Metric, form: str, both: bool) -> list[Text]:
    """Format a difference, its p value if there is room, and Holm's, which the mean (a single test) lacks."""
    corrected = Text("" if metric.p_holm is None else p_text(metric.p_holm))
    return [interval(metric, form), *([Text(p_text(metric.p))] if both else []), corrected]


def _mean(measured: Measured, metric: str) -> Text:
    return Text(f"mean of {measured.macro[metric].findings}", style="bold")


def _mean_without(measured: Measured) -> Text:
    number = measured.macro_without["auc"].findings
    return Text(f"mean of {number}, without {' and '.join(measured.left_out)}", style="bold")


def _wide(metrics: Mapping[str, Metric]) -> Iterator[Text]:
    """Yield AUC and AUPRC, each followed by its interval."""
    for metric in (metrics["auc"], metrics["auprc"]):
        known = not math.isnan(metric.value)
        yield Text(f"{metric.value:.3f}" if known else "-")
        yield Text(f"[{metric.low:.3f}, {metric.high:.3f}]" if known else "")


def _short(metrics: Mapping[str, Metric], names: Sequence[str], form: str = ".2f") -> Iterator[Text]:
    return (interval(metrics[name], form) for name in names)


def _probability_cells(metrics: Mapping[str, Metric], names: Sequence[str], form: str) -> Iterator[Text]:
    """Yield numbers with intervals; of the simulated calibration error only the mean, which has no room."""
    for name in names:
        metric = metrics[name]
        if name == ECE_IF_CALIBRATED:
            yield Text("-" if math.isnan(metric.value) else f"{metric.value:{form}}")
        else:
            yield interval(metric, form)


def _plain(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _show_unscored(unscored: Sequence[Unscored], images: int, outcome: str, console: Console) -> None:
    if not unscored:
        return
    console.print(Text(f"{len(unscored)} of {images} images have no scores and {outcome}:", style="yellow"))
    for image in unscored[:_MOST_LISTED]:
        console.print(Text(f"  {printable(image.path)}: {printable(image.message)}"), soft_wrap=True)
    if len(unscored) > _MOST_LISTED:
        console.print(Text(f"  and {len(unscored) - _MOST_LISTED} more; the JSON document lists all"))
