"""Build the parts about groups: the AUC within each group, and the gaps between groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.evaluation.measure import HEADINGS
from tier_cli.evaluation.page.figures import Line, draw_intervals, shared_range
from tier_cli.evaluation.page.numbers import Labels, as_line, mean_cell, most_positives
from tier_cli.evaluation.page.parts import Part, Table, cell, p_value
from tier_cli.evaluation.subgroups import CALLS, RULE

if TYPE_CHECKING:
    from tier_cli.evaluation.report import Report
    from tier_cli.evaluation.subgroups import Gap, Group


# A longer table is shown only after a click.
_MOST_ROWS = 30


def groups(report: Report, labels: Labels) -> Iterator[Part]:
    """Yield one part per column: the AUC within its groups, and the gaps between them."""
    for by in dict.fromkeys(group.by for group in report.groups):
        inside = [group for group in report.groups if group.by == by]
        gaps = [gap for gap in report.gaps if gap.by == by]
        shown = most_positives(report.measured[0])
        names = [report.measured[0].rows[place].finding for place in shown]
        lines = [("mean of findings", list(_of_mean(inside)))]
        lines += [
            (labels.get(name, name), list(_of_groups(inside, at)))
            for name, at in zip(names, shown, strict=True)
        ]
        limits = shared_range([bound for _, each in lines for one in each for bound in (one.low, one.high)])
        drawn = [draw_intervals(name, each, "AUC", limits=limits) for name, each in lines]
        tables = [_group_table(inside, number, labels) for number in range(len(report.measured))]
        text = (
            f"A hollow marker or a question mark means that the group is too small ({RULE}). The means of "
            "different groups may cover different findings.",
        )
        legend = [one.name for one in report.measured]
        kept = [figure for figure in drawn if figure is not None]
        calls = [
            table for number in range(len(report.measured)) for table in _calls_table(inside, number, labels)
        ]
        yield Part(f"Groups by {by}", text, legend, kept, [*tables, *calls, *_gap_table(gaps, labels)])


def _of_mean(inside: Sequence[Group]) -> Iterator[Line]:
    for group in inside:
        for number, one in enumerate(group.measured):
            hollow = all(group.too_small[number].values())
            name = f"{group.value} ({one.n})" if not number else ""
            yield as_line(name, one.macro["auc"], number, hollow)


def _of_groups(inside: Sequence[Group], place: int) -> Iterator[Line]:
    for group in inside:
        for number, one in enumerate(group.measured):
            row = one.rows[place]
            hollow = bool(group.too_small[number][row.finding])
            yield as_line(group.value if not number else "", row.metrics["auc"], number, hollow)


def _group_table(inside: Sequence[Group], number: int, labels: Labels) -> Table:
    first = inside[0].measured[number]
    rows = [
        (labels.get(row.finding, row.finding), *(_area(group, number, place) for group in inside))
        for place, row in enumerate(first.rows)
    ]
    heads = ("finding", *(f"{g.value} ({g.measured[number].n})" for g in inside))
    last = ("mean", *(mean_cell(group.measured[number], "auc") for group in inside))
    return Table(f"{first.name}: AUC by {inside[0].by}", heads, rows, last)


def _calls_table(inside: Sequence[Group], number: int, labels: Labels) -> Iterator[Table]:
    """Yield the calls in each group at the chosen thresholds, and minus those in the rest."""
    name = inside[0].measured[number].name
    if inside[0].measured[number].thresholds is None:
        return
    columns = [head for call in CALLS for head in (HEADINGS[call], "minus the rest", "p (Holm)")]
    heads = ["finding", "group", "patients with", "without", *columns]
    rows = []
    for place, row in enumerate(inside[0].measured[number].rows):
        for group in inside:
            own = group.measured[number].rows[place]
            against = group.calls_against_rest[number].get(own.finding, {})
            cells = [
                text
                for call in CALLS
                for text in (
                    cell(own.metrics[call]),
                    cell(against[call], "+.3f") if call in against else "",
                    p_value(against[call].p_holm) if call in against else "",
                )
            ]
            people = (str(own.positive_patients), str(own.negative_patients))
            rows.append((labels.get(row.finding, row.finding), group.value, *people, *cells))
    caption = f"{name}: calls by {inside[0].by}, at the same thresholds in every group"
    yield Table(caption, heads, rows, folded=len(rows) > _MOST_ROWS)


def _area(group: Group, number: int, place: int) -> str:
    row = group.measured[number].rows[place]
    measured = np.isfinite(row.metrics["auc"].value)
    return cell(row.metrics["auc"]) + ("?" if measured and group.too_small[number][row.finding] else "")


def _gap_table(gaps: Sequence[Gap], labels: Labels) -> list[Table]:
    rows = []
    for gap in gaps:
        name = f"mean of {gap.averaged}" if gap.finding == "macro" else labels.get(gap.finding, gap.finding)
        rows.append((name, gap.scores, cell(gap.metric), gap.highest, gap.lowest))
    heads = ("finding", "scores", "AUC gap", "highest", "lowest")
    return [Table("AUC gaps between groups that are large enough", heads, rows)] if rows else []
