"""Compare the AUC between groups of a column, and find the gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tier_cli.evaluation.divisions import NOT_COMPARED
from tier_cli.evaluation.measure import Measured, Metric, Row, as_metrics
from tier_cli.evaluation.thresholds import FEW
from tier_cli.metrics.bootstrap import Estimate

WIDE = 0.2
RULE = f"fewer than {FEW} positives or negatives, or an AUC interval wider than {WIDE}"


@dataclass(frozen=True)
class Group:
    """The numbers of the units with one value in one column.

    Parameters
    ----------
    by, value
        The column and the group.
    measured
        One per score set.
    against_rest
        Per score set: its AUC here minus that in all other known groups together, by finding.
    too_small
        Per score set: why its AUC says too little here, by finding; blank if it says enough.
    """

    by: str
    value: str
    measured: tuple[Measured, ...]
    against_rest: tuple[Mapping[str, Metric], ...] = ()
    too_small: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class Gap:
    """The highest minus the lowest AUC among the groups of a column that are large enough.

    Parameters
    ----------
    by, scores
        The column and the score set.
    finding
        Its id; ``macro`` = the mean over the findings that have at least `FEW` positives and negatives in
        each group that has such findings at all.
    highest, lowest
        The two groups.
    metric
        The difference.
    averaged
        The number of findings in the mean.
    """

    by: str
    scores: str
    finding: str
    highest: str
    lowest: str
    metric: Metric
    averaged: int = 1


def too_small(row: Row) -> str:
    """Return why an AUC says too little; blank if it says enough."""
    negatives = row.n - row.positives
    if row.positives < FEW:
        return f"{row.positives} positives"
    if negatives < FEW:
        return f"{negatives} negatives"
    metric = row.metrics["auc"]
    return f"interval of {metric.high - metric.low:.2f}" if metric.high - metric.low > WIDE else ""


def against(group: Estimate, rest: Estimate, findings: Sequence[str], level: float) -> dict[str, Metric]:
    """Return a group's AUC minus that of the rest, by finding."""
    return dict(zip(findings, as_metrics(group - rest, level), strict=True))


def gaps(
    groups: Sequence[Group],
    estimates: Mapping[str, Estimate],
    number: int,
    findings: Sequence[str],
    level: float,
) -> list[Gap]:
    """Return the gaps of one score set over the groups of one column.

    The highest and the lowest group are determined on all rows and stay the same in each resampling.

    Parameters
    ----------
    groups
        The groups of the column.
    estimates
        AUC by group.
    number
        Number of the score set.
    findings
        F ids.
    level
        Level of the intervals.
    """
    sides = [group for group in groups if group.value not in NOT_COMPARED]
    found = []
    for place, finding in enumerate(findings):
        usable = [group.value for group in sides if not group.too_small[number][finding]]
        if len(usable) > 1:
            found.append(
                _gap(groups[0], number, finding, {v: estimates[v].only([place]) for v in usable}, level)
            )
    counted = {group.value: _counted(group.measured[number]) for group in sides}
    counted = {value: places for value, places in counted.items() if places}
    common = sorted(set.intersection(*counted.values())) if len(counted) > 1 else []
    if common:
        means = {value: estimates[value].only(common).macro for value in counted}
        found.append(_gap(groups[0], number, "macro", means, level, len(common)))
    return found


def _counted(measured: Measured) -> set[int]:
    """Return the places of the findings with enough of each class."""
    return {
        place for place, row in enumerate(measured.rows) if min(row.positives, row.n - row.positives) >= FEW
    }


def _gap(
    first: Group, number: int, finding: str, sides: Mapping[str, Estimate], level: float, averaged: int = 1
) -> Gap:
    points = {value: float(estimate.point[0]) for value, estimate in sides.items()}
    highest, lowest = max(points, key=lambda v: points[v]), min(points, key=lambda v: points[v])
    difference = sides[highest] - sides[lowest]
    name = first.measured[number].name
    return Gap(first.by, name, finding, highest, lowest, as_metrics(difference, level)[0], averaged)
