"""Compare the AUC between groups of a column, and find the gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from tier_cli.evaluation.divisions import NOT_COMPARED
from tier_cli.evaluation.measure import Measured, Metric, Row, as_metrics, holm
from tier_cli.evaluation.thresholds import FEW
from tier_cli.metrics.bootstrap import Estimate

WIDE = 0.2
CALLS = ("sensitivity", "specificity")
RULE = f"fewer than {FEW} patients with or without the finding, or an AUC interval wider than {WIDE}"


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
    calls_against_rest
        Per score set: its sensitivity and specificity here minus those in the rest, by finding, with p values
        corrected by Holm over the groups; empty without thresholds.
    """

    by: str
    value: str
    measured: tuple[Measured, ...]
    against_rest: tuple[Mapping[str, Metric], ...] = ()
    too_small: tuple[Mapping[str, str], ...] = ()
    calls_against_rest: tuple[Mapping[str, Mapping[str, Metric]], ...] = ()


@dataclass(frozen=True)
class Gap:
    """The highest minus the lowest AUC among the groups of a column that are large enough.

    Parameters
    ----------
    by, scores
        The column and the score set.
    finding
        Its id; ``macro`` = the mean over the findings that have at least `FEW` patients of each class in
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
    if row.positive_patients < FEW:
        return f"{row.positive_patients} patients with the finding"
    if row.negative_patients < FEW:
        return f"{row.negative_patients} patients without the finding"
    metric = row.metrics["auc"]
    return f"interval of {metric.high - metric.low:.2f}" if metric.high - metric.low > WIDE else ""


def fewest_patients(row: Row) -> int:
    """Return the number of patients of the smaller class."""
    return min(row.positive_patients, row.negative_patients)


def against(group: Estimate, rest: Estimate, findings: Sequence[str], level: float) -> dict[str, Metric]:
    """Return a group's AUC minus that of the rest, by finding."""
    return dict(zip(findings, as_metrics(group - rest, level), strict=True))


def calls_against(
    group: Mapping[str, Estimate], rest: Mapping[str, Estimate], findings: Sequence[str], level: float
) -> dict[str, dict[str, Metric]]:
    """Return a group's sensitivity and specificity minus those of the rest, by finding, if it has calls.

    A share of fewer than `FEW` patients on either side is not compared.
    """
    found: dict[str, dict[str, Metric]] = {}
    for name in CALLS:
        if name in group and name in rest:
            metrics = as_metrics(group[name] - rest[name], level, tested=True)
            fewest = [one.patients for one in (group[name], rest[name]) if one.patients is not None]
            enough = np.min(fewest, axis=0) >= FEW
            for finding, metric in compress(zip(findings, metrics, strict=True), enough.tolist()):
                found.setdefault(finding, {})[name] = metric
    return found


def corrected_over_groups(groups: Sequence[Group]) -> list[Group]:
    """Correct the p values of the groups' sensitivities and specificities by Holm over the groups."""
    found = list(groups)
    for number in range(len(groups[0].calls_against_rest) if groups else 0):
        keys = {(f, m) for one in groups for f, each in one.calls_against_rest[number].items() for m in each}
        for finding, name in sorted(keys):
            members = [
                at for at, one in enumerate(found) if name in one.calls_against_rest[number].get(finding, {})
            ]
            metrics = [found[at].calls_against_rest[number][finding][name] for at in members]
            p_values = np.array([np.nan if one.p is None else one.p for one in metrics])
            # The two groups of a column are one comparison.
            corrected = p_values if len(members) == 2 else holm(p_values)
            for at, metric, p in zip(members, metrics, corrected.tolist(), strict=True):
                found[at] = _with_call(found[at], number, finding, name, replace(metric, p_holm=p))
    return found


def _with_call(group: Group, number: int, finding: str, name: str, metric: Metric) -> Group:
    sets = [dict(one) for one in group.calls_against_rest]
    sets[number][finding] = {**sets[number][finding], name: metric}
    return replace(group, calls_against_rest=tuple(sets))


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
    return {place for place, row in enumerate(measured.rows) if fewest_patients(row) >= FEW}


def _gap(
    first: Group, number: int, finding: str, sides: Mapping[str, Estimate], level: float, averaged: int = 1
) -> Gap:
    points = {value: float(estimate.point[0]) for value, estimate in sides.items()}
    highest, lowest = max(points, key=lambda v: points[v]), min(points, key=lambda v: points[v])
    difference = sides[highest] - sides[lowest]
    name = first.measured[number].name
    return Gap(first.by, name, finding, highest, lowest, as_metrics(difference, level)[0], averaged)
