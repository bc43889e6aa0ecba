"""The parts of a page that every evaluation has: tables, curves, differences and groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.evaluation.page import figures as draw
from tier_cli.evaluation.page.parts import DASH, MOST_FIGURES, Figure, Part, Table, cell, p_value
from tier_cli.evaluation.statistics import DECISIONS, PROBABILITIES, RANKING
from tier_cli.evaluation.subgroups import RULE
from tier_cli.evaluation.table import HEADS
from tier_cli.evaluation.units import PLURALS

if TYPE_CHECKING:
    from tier_cli.evaluation.measure import Contender, Labelled, Measured, Metric
    from tier_cli.evaluation.report import Report
    from tier_cli.evaluation.subgroups import Gap, Group

Labels = Mapping[str, str]


def overview(report: Report) -> Part:
    """The means over findings of each score set."""
    metrics = [m for m in HEADS if any(m in one.macro for one in report.measured)]
    rows = [
        (one.name, str(one.n), str(one.patients), *(_mean(one, name) for name in metrics))
        for one in report.measured
    ]
    heads = ("scores", PLURALS[report.protocol.unit], "patients", *(HEADS[name] for name in metrics))
    how = report.protocol.resampling
    text = (
        f"In brackets: {how.level:.0%} intervals from {how.replicates} resamplings of patients (seed "
        f"{how.seed}). A mean is over the findings that have both classes; their number stands behind it.",
    )
    return Part("Means over findings", text, tables=(Table("Means over findings", heads, rows),))


def by_finding(report: Report, labels: Labels) -> Part:
    """Every number of every finding."""
    if len(report.measured) == 1:
        tables = [_ranking(report.measured[0], labels)]
    else:
        tables = [_side_by_side(report, labels, name) for name in RANKING]
    for one in report.measured:
        tables += _single(one, labels)
    text = [f"{DASH} means that there is no such number, as for a finding with one class only."]
    return Part("Findings", text, tables=tables)


def differences(report: Report, labels: Labels) -> Part | None:
    """The first score set minus each other one."""
    if not report.differences:
        return None
    drawn, tables = [], []
    for number, one in enumerate(report.differences, 1):
        figure = draw.intervals(one.name, _lines(one, labels, number), "difference of AUC", 0.0)
        drawn += [figure] if figure else []
        tables.append(_difference(one, labels))
    text = (
        "Both score sets of a pair under the same resamplings of patients. p is two-sided and of the "
        "bootstrap; p (Holm) is corrected for the number of findings of the pair. The mean is one test.",
    )
    return Part("Differences", text, figures=drawn, tables=tables)


def curves(
    report: Report, truth: Labelled, contenders: Sequence[Contender], labels: Labels
) -> Iterator[Part]:
    """ROC, precision-recall and reliability of each finding."""
    shown = most_positives(report.measured[0])
    legend = [one.name for one in contenders]
    more = _left_out(report.measured[0], shown)
    reads = _reads(report.sections)
    chosen = any(one.thresholds is not None for one in contenders)
    text = [*(["A larger mark is the operating point."] if chosen else []), *more]
    crosses = ["A cross is a radiologist."] if reads else []

    def each(kind: Any, **extra: Any) -> list[Figure]:
        places = [(place, truth.findings[place]) for place in shown]
        drawn = (
            kind(
                labels.get(name, name),
                place,
                truth.labels,
                contenders,
                **{k: v.get(name, ()) for k, v in extra.items()},
            )
            for place, name in places
        )
        return [figure for figure in drawn if figure is not None]

    yield Part("ROC curves", [*text, *crosses], legend, each(draw.roc, reads=reads))
    yield Part(
        "Precision-recall curves",
        [*text, "The level line is the share of positives, which guessing would give."],
        legend,
        each(draw.precision_recall),
    )
    if any(one.probabilities is not None for one in contenders):
        told = "The bins of the calibration error, with Wilson's 95% intervals for units taken one by one."
        yield Part("Reliability of probabilities", [told, *more], legend, each(draw.reliabilities))


def groups(report: Report, labels: Labels) -> Iterator[Part]:
    """The AUC within the groups of each column, and the gaps."""
    for by in dict.fromkeys(group.by for group in report.groups):
        inside = [group for group in report.groups if group.by == by]
        gaps = [gap for gap in report.gaps if gap.by == by]
        shown = most_positives(report.measured[0])
        drawn = [draw.intervals("mean of findings", list(_of_mean(inside)), "mean AUC")]
        for place in shown:
            name = report.measured[0].rows[place].finding
            drawn.append(draw.intervals(labels.get(name, name), list(_of_groups(inside, place)), "AUC"))
        tables = [_group_table(inside, number, labels) for number in range(len(report.measured))]
        text = (
            f"A hollow mark or a question mark: too small a group to tell ({RULE}). Means of groups may be "
            "over different findings.",
        )
        legend = [one.name for one in report.measured]
        kept = [figure for figure in drawn if figure is not None]
        yield Part(f"Groups by {by}", text, legend, kept, [*tables, *_gap_table(gaps, labels)])


def most_positives(measured: Measured) -> list[int]:
    """Choose the findings that are drawn, in their order: those with both classes and most positives."""
    rows = [place for place, row in enumerate(measured.rows) if row.both_classes]
    rows = sorted(rows, key=lambda place: -measured.rows[place].positives)[:MOST_FIGURES]
    return sorted(rows)


def _left_out(measured: Measured, shown: Sequence[int]) -> list[str]:
    many = measured.averaged - len(shown)
    return (
        [f"Drawn are the {len(shown)} findings with most positives, not {many} others."] if many > 0 else []
    )


def _mean(measured: Measured, metric: str) -> str:
    if metric not in measured.macro:
        return DASH
    return f"{cell(measured.macro[metric])} ({_counted(measured, metric)})"


def _counted(measured: Measured, metric: str) -> int:
    return sum(bool(np.isfinite(row.metrics[metric].value)) for row in measured.rows)


def _ranking(one: Measured, labels: Labels) -> Table:
    rows = [
        (
            labels.get(row.finding, row.finding),
            str(row.n),
            str(row.positives),
            *(cell(row.metrics[name]) for name in RANKING),
        )
        for row in one.rows
    ]
    last = ("mean", "", "", *(_mean(one, name) for name in RANKING))
    return Table(one.name, ("finding", "n", "positives", *(HEADS[name] for name in RANKING)), rows, last)


def _side_by_side(report: Report, labels: Labels, metric: str) -> Table:
    first = report.measured[0]
    names = [one.name for one in report.measured]
    rows = [
        (
            labels.get(row.finding, row.finding),
            str(row.n),
            str(row.positives),
            *(cell(one.rows[place].metrics[metric]) for one in report.measured),
        )
        for place, row in enumerate(first.rows)
    ]
    heads = ("finding", "n", "positives", *names)
    last = (
        f"mean of {_counted(first, metric)}",
        "",
        "",
        *(cell(one.macro[metric]) for one in report.measured),
    )
    return Table(HEADS[metric], heads, rows, last)


def _single(measured: Measured, labels: Labels) -> Iterator[Table]:
    """Calls and probabilities of one score set."""
    thresholds = measured.thresholds
    if thresholds is not None:
        how = f" by {thresholds.rule}" if thresholds.rule else ""
        caption = f"{measured.name}: calls, thresholds of {thresholds.source}{how}"
        yield _table(caption, measured, labels, DECISIONS, threshold=True)
    if set(PROBABILITIES) <= set(measured.macro):
        yield _table(f"{measured.name}: probabilities", measured, labels, PROBABILITIES)


def _table(
    caption: str, measured: Measured, labels: Labels, metrics: Sequence[str], threshold: bool = False
) -> Table:
    def extra(value: float) -> list[str]:
        return ([f"{value:.4g}" if np.isfinite(value) else DASH]) if threshold else []

    rows = [
        (
            labels.get(row.finding, row.finding),
            *(cell(row.metrics[name]) for name in metrics),
            *extra(row.threshold),
        )
        for row in measured.rows
    ]
    heads = ("finding", *(HEADS[name] for name in metrics), *(["threshold"] if threshold else []))
    last = ("mean", *(_mean(measured, name) for name in metrics), *([""] if threshold else []))
    return Table(caption, heads, rows, last)


def _difference(one: Measured, labels: Labels) -> Table:
    metrics = [name for name in HEADS if name in one.macro]
    rows = [
        (labels.get(row.finding, row.finding), *(c for name in metrics for c in _tested(row.metrics[name])))
        for row in one.rows
    ]
    heads = ("finding", *(head for name in metrics for head in (HEADS[name], "p", "p (Holm)")))
    last = ("mean", *(c for name in metrics for c in _tested(one.macro[name])))
    return Table(one.name, heads, rows, last)


def _tested(metric: Metric) -> tuple[str, str, str]:
    return cell(metric, "+.3f"), p_value(metric.p), p_value(metric.p_holm)


def _lines(one: Measured, labels: Labels, number: int) -> list[draw.Line]:
    shown = [one.rows[place] for place in most_positives(one)]
    lines = [_line(labels.get(row.finding, row.finding), row.metrics["auc"], number) for row in shown]
    return [_line("mean", one.macro["auc"], number), *lines]


def _line(name: str, metric: Metric, number: int, hollow: bool = False) -> draw.Line:
    return draw.Line(name, metric.value, metric.low, metric.high, number, hollow)


def _of_mean(inside: Sequence[Group]) -> Iterator[draw.Line]:
    for group in inside:
        for number, one in enumerate(group.measured):
            hollow = all(group.too_small[number].values())
            name = f"{group.value} ({one.n})" if not number else ""
            yield _line(name, one.macro["auc"], number, hollow)


def _of_groups(inside: Sequence[Group], place: int) -> Iterator[draw.Line]:
    for group in inside:
        for number, one in enumerate(group.measured):
            row = one.rows[place]
            hollow = bool(group.too_small[number][row.finding])
            yield _line(group.value if not number else "", row.metrics["auc"], number, hollow)


def _group_table(inside: Sequence[Group], number: int, labels: Labels) -> Table:
    first = inside[0].measured[number]
    rows = [
        (labels.get(row.finding, row.finding), *(_area(group, number, place) for group in inside))
        for place, row in enumerate(first.rows)
    ]
    heads = ("finding", *(f"{g.value} ({g.measured[number].n})" for g in inside))
    last = ("mean", *(_mean(group.measured[number], "auc") for group in inside))
    return Table(f"{first.name}: AUC by {inside[0].by}", heads, rows, last)


def _area(group: Group, number: int, place: int) -> str:
    row = group.measured[number].rows[place]
    return cell(row.metrics["auc"]) + ("?" if group.too_small[number][row.finding] else "")


def _gap_table(gaps: Sequence[Gap], labels: Labels) -> list[Table]:
    rows = []
    for gap in gaps:
        name = f"mean of {gap.averaged}" if gap.finding == "macro" else labels.get(gap.finding, gap.finding)
        rows.append((name, gap.scores, cell(gap.metric), gap.highest, gap.lowest))
    heads = ("finding", "scores", "AUC gap", "highest", "lowest")
    return [Table("Gaps between groups that are large enough", heads, rows)] if rows else []


def _reads(sections: Mapping[str, Any]) -> dict[str, list[draw.Read]]:
    """Where radiologists stand, by finding."""
    found: dict[str, list[draw.Read]] = {}
    for reader in sections.get("readers", {}).get("readers", []):
        for name, metrics in reader["findings"].items():
            both = metrics["sensitivity"]["value"], metrics["specificity"]["value"]
            if None not in both:
                found.setdefault(name, []).append(both)
    return found
