"""Build the parts that every evaluation has: means, tables by finding, differences and curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.evaluation.measure import HEADINGS
from tier_cli.evaluation.page.figures import (
    Line,
    ReaderPoint,
    draw_intervals,
    draw_precision_recall,
    draw_reliability,
    draw_roc,
    shared_range,
)
from tier_cli.evaluation.page.parts import DASH, MAX_FIGURES, Figure, Part, Table, cell, p_value
from tier_cli.evaluation.units import PLURALS
from tier_cli.metrics.statistics import (
    AT_PREVALENCE,
    DECISIONS,
    ECE_IF_CALIBRATED,
    PROBABILITIES,
    RANKING,
    RECHOSEN,
)

if TYPE_CHECKING:
    from tier_cli.evaluation.measure import Measured, Metric
    from tier_cli.evaluation.report import Report
    from tier_cli.evaluation.truth import Labelled
    from tier_cli.evaluation.unit_scores import UnitScores

Labels = Mapping[str, str]
# The numbers of calls in the first table; the others are in a second one.
_FIRST_CALLS = DECISIONS.index("lr_positive")


def overview(report: Report) -> Part:
    """Return the part with each score set's means over findings."""
    metrics = [m for m in HEADINGS if any(m in one.macro for one in report.measured)]
    rows = [
        (PLURALS[report.protocol.unit], *(str(one.n) for one in report.measured)),
        ("patients", *(str(one.patients) for one in report.measured)),
        *((HEADINGS[name], *(mean_cell(one, name) for one in report.measured)) for name in metrics),
        *_without(report.measured, metrics),
    ]
    heads = ("", *(one.name for one in report.measured))
    how = report.protocol.resampling
    text = (
        f"Brackets show {how.level:.0%} intervals by patient, from {how.replicates} resamplings (seed "
        f"{how.seed}) where no formula serves. A mean covers the findings with both classes; their number "
        "follows in parentheses.",
    )
    return Part("Means over findings", text, tables=(Table("Means over findings", heads, rows),))


def _without(measured: Sequence[Measured], metrics: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the means without the columns that are not findings, such as normal."""
    if any(one.macro_without for one in measured):
        left_out = " and ".join(measured[0].left_out)
        for name in metrics:
            means = (replace(one, macro=one.macro_without) for one in measured)
            yield (f"{HEADINGS[name]}, without {left_out}", *(mean_cell(one, name) for one in means))


def by_finding(report: Report, labels: Labels) -> Part:
    """Return the part with all numbers of all findings."""
    if len(report.measured) == 1:
        tables = [_ranking(report.measured[0], labels)]
    else:
        tables = [_side_by_side(report, labels, name) for name in RANKING]
    for one in report.measured:
        tables += _single(one, labels)
    text = [
        f"{DASH} means that the number cannot be computed, for example because a finding has only one class."
    ]
    return Part("Findings", text, tables=tables)


def differences(report: Report, labels: Labels) -> Part | None:
    """Return the part with the first score set minus each other one; None for a single score set."""
    if not report.differences:
        return None
    lines = [(one.name, _lines(one, labels, number)) for number, one in enumerate(report.differences, 1)]
    limits = shared_range([bound for _, each in lines for one in each for bound in (one.low, one.high)])
    drawn = [draw_intervals(name, each, "difference in AUC", 0.0, limits) for name, each in lines]
    tables = [_difference(one, labels) for one in report.differences]
    text = (
        "Both score sets of a pair were measured on the same resamplings of patients. p is two-sided and "
        "agrees with the interval; p (Holm) is corrected for the number of findings. The mean is a single "
        "test.",
    )
    return Part("Differences", text, figures=[one for one in drawn if one is not None], tables=tables)


def curves(
    report: Report, truth: Labelled, score_sets: Sequence[UnitScores], labels: Labels
) -> Iterator[Part]:
    """Draw the curves of the findings.

    Yields
    ------
    The parts with ROC curves, precision-recall curves and, if there are probabilities, reliability.
    """
    shown = most_positives(report.measured[0])
    legend = [one.name for one in score_sets]
    more = _not_drawn(report.measured[0], shown)
    readers = _readers(report.sections)
    has_thresholds = any(one.thresholds is not None for one in score_sets)
    text = [*(["The larger markers are operating points."] if has_thresholds else []), *more]
    crosses = ["The crosses are radiologists."] if readers else []

    def each(kind: Any, metrics: Sequence[str], **extra: Any) -> list[Figure]:
        places = [(place, truth.findings[place]) for place in shown]
        drawn = (
            (
                place,
                kind(
                    labels.get(name, name),
                    place,
                    truth.labels,
                    score_sets,
                    **{k: v.get(name, ()) for k, v in extra.items()},
                ),
            )
            for place, name in places
        )
        return [
            replace(figure, lines=list(_panel_lines(report.measured, place, metrics)))
            for place, figure in drawn
            if figure is not None
        ]

    yield Part("ROC curves", [*text, *crosses], legend, each(draw_roc, ["auc"], readers=readers))
    yield Part(
        "Precision-recall curves",
        [*text, "The horizontal line is the share of positives, the precision of random scores."],
        legend,
        each(draw_precision_recall, ["auprc"]),
    )
    if any(one.probabilities is not None for one in score_sets):
        how = (
            "The bins are those of the calibration error; Wilson's 95% intervals treat units as independent."
        )
        yield Part(
            "Reliability of probabilities",
            [how, *more],
            legend,
            each(draw_reliability, ["ece", ECE_IF_CALIBRATED]),
        )


def _panel_lines(score_sets: Sequence[Measured], place: int, metrics: Sequence[str]) -> Iterator[str]:
    """Yield a panel's numbers, one line per score set."""
    for one in score_sets:
        known = [name for name in metrics if name in one.rows[place].metrics]
        numbers = ", ".join(f"{HEADINGS[name]} {cell(one.rows[place].metrics[name])}" for name in known)
        if numbers:
            yield f"{one.name}: {numbers}" if len(score_sets) > 1 else numbers


def most_positives(measured: Measured) -> list[int]:
    """Choose the findings to draw, in their order: those with both classes and the most positives."""
    rows = [place for place, row in enumerate(measured.rows) if row.both_classes]
    rows = sorted(rows, key=lambda place: -measured.rows[place].positives)[:MAX_FIGURES]
    return sorted(rows)


def _not_drawn(measured: Measured, shown: Sequence[int]) -> list[str]:
    many = measured.averaged - len(shown)
    return (
        [f"Only the {len(shown)} findings with the most positives are drawn; {many} others are not."]
        if many > 0
        else []
    )


def mean_cell(measured: Measured, metric: str) -> str:
    """Format the mean of a metric, with the number of findings behind it."""
    if metric not in measured.macro:
        return DASH
    mean = measured.macro[metric]
    return f"{cell(mean)} ({mean.findings})"


def _ranking(one: Measured, labels: Labels) -> Table:
    rows = [
        (
            labels.get(row.finding, row.finding),
            cell(row.metrics["auc"]),
            str(row.n),
            str(row.positives),
            cell(row.metrics["auprc"]),
        )
        for row in one.rows
    ]
    last = ("mean", mean_cell(one, "auc"), "", "", mean_cell(one, "auprc"))
    return Table(one.name, ("finding", HEADINGS["auc"], "n", "positives", HEADINGS["auprc"]), rows, last)


def _side_by_side(report: Report, labels: Labels, metric: str) -> Table:
    first = report.measured[0]
    names = [one.name for one in report.measured]
    rows = [
        (
            labels.get(row.finding, row.finding),
            *(cell(one.rows[place].metrics[metric]) for one in report.measured),
            str(row.n),
            str(row.positives),
        )
        for place, row in enumerate(first.rows)
    ]
    heads = ("finding", *names, "n", "positives")
    last = ("mean", *(mean_cell(one, metric) for one in report.measured), "", "")
    return Table(HEADINGS[metric], heads, rows, last)


def _single(measured: Measured, labels: Labels) -> Iterator[Table]:
    """Yield the tables of one score set's calls and probabilities."""
    thresholds = measured.thresholds
    if thresholds is not None:
        how = f" by {thresholds.rule}" if thresholds.rule else ""
        caption = f"{measured.name}: calls, thresholds from {thresholds.source}{how}"
        yield _table(caption, measured, labels, DECISIONS[:_FIRST_CALLS])
        yield _table(
            f"{measured.name}: further numbers of these calls",
            measured,
            labels,
            DECISIONS[_FIRST_CALLS:],
            threshold=True,
        )
    if RECHOSEN[0] in measured.rows[0].metrics:
        yield _rechosen(measured, labels)
    at = [row for row in measured.rows if np.isfinite(row.prevalence)]
    if thresholds is not None and at:
        rows = [
            (
                labels.get(row.finding, row.finding),
                f"{row.prevalence:g}",
                *(cell(row.metrics[name]) for name in AT_PREVALENCE),
            )
            for row in at
        ]
        heads = ("finding", "prevalence", "PPV", "NPV")
        yield Table(f"{measured.name}: predictive values at a given prevalence", heads, rows)
    if set(PROBABILITIES) <= set(measured.macro):
        yield _table(f"{measured.name}: probabilities", measured, labels, PROBABILITIES)


def _rechosen(measured: Measured, labels: Labels) -> Table:
    """Return what the intervals become if every resampling chooses the thresholds anew."""
    names = ("sensitivity", "specificity")
    rows = [
        (
            labels.get(row.finding, row.finding),
            cell(row.metrics[RECHOSEN[0]], "#.4g"),
            *(cell(row.metrics[f"{name}{kind}"]) for name in names for kind in ("", "_rechosen")),
        )
        for row in measured.rows
    ]
    heads = ["finding", "threshold"]
    heads += [f"{name}, threshold {kind}" for name in names for kind in ("fixed", "chosen anew")]
    means = (mean_cell(measured, f"{name}{kind}") for name in names for kind in ("", "_rechosen"))
    caption = f"{measured.name}: if every resampling chooses the thresholds anew"
    return Table(caption, heads, rows, ("mean", "", *means))


def _table(
    caption: str, measured: Measured, labels: Labels, metrics: Sequence[str], threshold: bool = False
) -> Table:
    def extra(value: float) -> list[str]:
        return ([f"{value:#.4g}" if np.isfinite(value) else DASH]) if threshold else []

    rows = [
        (
            labels.get(row.finding, row.finding),
            *(cell(row.metrics[name]) for name in metrics),
            *extra(row.threshold),
        )
        for row in measured.rows
    ]
    heads = ("finding", *(HEADINGS[name] for name in metrics), *(["threshold"] if threshold else []))
    last = ("mean", *(mean_cell(measured, name) for name in metrics), *([""] if threshold else []))
    return Table(caption, heads, rows, last)


def _difference(one: Measured, labels: Labels) -> Table:
    metrics = [name for name in HEADINGS if name in one.macro]
    rows = [
        (labels.get(row.finding, row.finding), *(c for name in metrics for c in _tested(row.metrics[name])))
        for row in one.rows
    ]
    heads = ("finding", *(head for name in metrics for head in (HEADINGS[name], "p", "p (Holm)")))
    last = ("mean", *(c for name in metrics for c in _tested(one.macro[name])))
    return Table(one.name, heads, rows, last)


def _tested(metric: Metric) -> tuple[str, str, str]:
    return cell(metric, "+.3f"), p_value(metric.p), p_value(metric.p_holm)


def _lines(one: Measured, labels: Labels, number: int) -> list[Line]:
    shown = [one.rows[place] for place in most_positives(one)]
    lines = [as_line(labels.get(row.finding, row.finding), row.metrics["auc"], number) for row in shown]
    return [as_line("mean", one.macro["auc"], number), *lines]


def as_line(name: str, metric: Metric, number: int, hollow: bool = False) -> Line:
    """Return a metric as a line of a list of intervals."""
    return Line(name, metric.value, metric.low, metric.high, number, hollow)


def _readers(sections: Mapping[str, Any]) -> dict[str, list[ReaderPoint]]:
    """Return the points of the radiologists by finding."""
    found: dict[str, list[ReaderPoint]] = {}
    for reader in sections.get("readers", {}).get("readers", []):
        for name, metrics in reader["findings"].items():
            both = metrics["sensitivity"]["value"], metrics["specificity"]["value"]
            if None not in both:
                found.setdefault(name, []).append(both)
    return found
