"""Measure scored units: every number of a report under the same resamplings of patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.evaluation.cohort import Cohort, describe_cohort
from tier_cli.evaluation.decision_curve import measure_decision_curve
from tier_cli.evaluation.divisions import Division, divide
from tier_cli.evaluation.measure import HEADINGS, NOT_SUBTRACTED, Measured, Resampling, measured
from tier_cli.evaluation.rechosen import rechosen
from tier_cli.evaluation.report import Report
from tier_cli.evaluation.subgroups import (
    Gap,
    Group,
    against,
    calls_against,
    corrected_over_groups,
    fewest_patients,
    gaps,
    too_small,
)
from tier_cli.evaluation.thresholds import FEW
from tier_cli.evaluation.uncertain import measure_policies
from tier_cli.evaluation.unit_scores import common_units
from tier_cli.metrics.bootstrap import Estimate, resample
from tier_cli.metrics.statistics import ECE_IF_CALIBRATED, Statistic, within

if TYPE_CHECKING:
    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.truth import Labelled
    from tier_cli.evaluation.unit_scores import UnitScores

_SMALL_P = 0.05
_NEARLY_ALL = 0.95
# Metrics whose differences are tested by counting resamplings.
_BY_PERCENTILES = ("mcc", "brier", "ece")

# By ("all", score set), or by ("group" or "rest", score set, column, value); then by metric.
_Estimates = dict[tuple[str, ...], dict[str, Estimate]]


@dataclass(frozen=True)
class Measurements:
    """The numbers of a report.

    Parameters
    ----------
    measured
        One per score set.
    differences
        The first score set minus each other one.
    groups, gaps
        The numbers within the groups of each column, and the gaps between these.
    """

    measured: tuple[Measured, ...]
    differences: tuple[Measured, ...]
    groups: tuple[Group, ...]
    gaps: tuple[Gap, ...]


def build_report(evaluation: Evaluation, by: Sequence[str] = ()) -> Report:
    """Measure an evaluation and add its notes.

    Parameters
    ----------
    evaluation
        What was scored.
    by
        Manifest columns to group by.
    """
    how, units = evaluation.protocol.resampling, evaluation.units
    manifest = evaluation.selection.manifest
    divisions = [divide(column, manifest.column(column)).of_units(units) for column in by]
    prevalence = evaluation.protocol.prevalence
    found = measure_units(evaluation.by_unit, evaluation.unit_scores, divisions, how, prevalence)
    first = found.measured[0]
    notes = [*evaluation.selection.notes, *evaluation.notes]
    if found.differences:
        every = "both" if len(found.measured) == 2 else "all"
        notes.append(f"{every} were measured on the {first.n} {units.plural} that {every} have scores for")
        notes += _smallest_p(found.differences[0], how)
    notes += _few(first)
    notes += [note for one in found.measured[:1] for note in _rarely_drawn(one, how)]
    # An image that several score sets lack is listed once.
    unscored = {image.path: image for one in reversed(evaluation.scores) for image in one.unscored}
    return Report(
        evaluation.protocol,
        found.measured,
        found.differences,
        found.groups,
        tuple(unscored.values()),
        tuple(notes),
        gaps=found.gaps,
        sections=_further(evaluation),
        cohort=_cohort(evaluation),
        trained_on=evaluation.seen,
    )


def measure_units(
    truth: Labelled,
    score_sets: Sequence[UnitScores],
    divisions: Sequence[Division],
    how: Resampling,
    prevalence: Mapping[str, float] | None = None,
) -> Measurements:
    """Measure score sets, their differences from the first, and groups, on the units that all sets score.

    Parameters
    ----------
    truth
        (U, F) labels.
    score_sets
        One or several.
    divisions
        The columns to group by, over the U units.
    how
        How patients are resampled.
    prevalence
        By finding, a share of positives at which predictive values are also given.
    """
    score_sets = common_units(score_sets)
    # Only patients with a score and a label are resampled.
    used = np.asarray((np.isfinite(score_sets[0].scores) & np.isfinite(truth.labels)).any(axis=1))
    truth, score_sets = truth.where(used), tuple(one.where(used) for one in score_sets)
    divisions = [replace(division, cells=division.cells[used]) for division in divisions]
    estimates = _estimate(truth, score_sets, divisions, how)
    whole = (
        _measured(truth, one, estimates["all", str(n)], how, prevalence) for n, one in enumerate(score_sets)
    )
    others = range(1, len(score_sets))
    differences = (_difference(truth, score_sets, other, estimates, how) for other in others)
    groups, found = _groups(truth, score_sets, divisions, estimates, how, prevalence)
    return Measurements(tuple(whole), tuple(differences), groups, found)


def _estimate(
    truth: Labelled, score_sets: Sequence[UnitScores], divisions: Sequence[Division], how: Resampling
) -> _Estimates:
    statistics: dict[tuple[str, ...], Statistic] = {}
    for number, one in enumerate(score_sets):
        statistics["all", str(number)] = one.statistic(truth.labels)
        for division in divisions:
            for value in division.groups:
                key = (str(number), division.by, value)
                rows = division.cells == value
                statistics["group", *key] = within(rows, one.where(rows).statistic(truth.labels[rows]))
                rest = np.isin(division.cells, [other for other in division.compared if other != value])
                if value in division.compared and len(division.compared) > 2:
                    statistics["rest", *key] = within(rest, one.where(rest).compared(truth.labels[rest]))
    found = resample(statistics, truth.patients, replicates=how.replicates, seed=how.seed)
    for place, estimates in found.items():
        if "ece" in estimates:
            estimates["ece"] = estimates["ece"].centred
            rows = _rows_of(place, divisions, len(truth.labels))
            simulated = score_sets[int(place[1])].where(rows).ece_if_calibrated(truth.labels[rows], how.seed)
            if simulated is not None:
                estimates[ECE_IF_CALIBRATED] = simulated
    for number, one in enumerate(score_sets):
        whole = found["all", str(number)]
        whole.update(rechosen(truth, one, whole, how))
        for division in divisions:
            # The rest of two groups is the other group.
            if len(division.compared) == 2:
                for value, other in (division.compared, division.compared[::-1]):
                    own, opposite = (str(number), division.by, value), (str(number), division.by, other)
                    found["rest", *own] = found["group", *opposite]
    return found


def _further(evaluation: Evaluation) -> dict[str, Any]:
    """Measure what needs no further scoring: decision curves, and other ways to count uncertain labels."""
    truth, score_sets = evaluation.by_unit, common_units(evaluation.unit_scores)
    columns = [evaluation.findings.ids.index(name) for name in truth.findings]
    raw = evaluation.units.labels(evaluation.selection.manifest.labels(evaluation.findings)[:, columns])
    level = evaluation.protocol.resampling.level
    found = {
        "decision_curve": measure_decision_curve(truth, score_sets),
        "uncertain": measure_policies(raw, truth.findings, truth.patients, score_sets, level),
    }
    return {name: content for name, content in found.items() if content is not None}


def _cohort(evaluation: Evaluation) -> Cohort:
    """Describe the evaluated rows; an image counts as scored if all score sets have a score for it."""
    scored = np.all([np.isfinite(one.values).any(axis=1) for one in evaluation.scores], axis=0)
    patients = evaluation.selection.manifest.patients()
    return describe_cohort(evaluation.selection, int((~scored).sum()), len(np.unique(patients[scored])))


def _rows_of(key: tuple[str, ...], divisions: Sequence[Division], count: int) -> NDArray[np.bool_]:
    """Return which of the units a key of the estimates covers."""
    if key[0] == "all":
        return np.ones(count, dtype=bool)
    (division,) = (one for one in divisions if one.by == key[2])
    return np.asarray(division.cells == key[3])


def _measured(
    truth: Labelled,
    one: UnitScores,
    estimates: dict[str, Estimate],
    how: Resampling,
    prevalence: Mapping[str, float] | None,
) -> Measured:
    scored = np.isfinite(one.scores)
    return measured(
        one.name,
        truth,
        scored,
        estimates,
        how.level,
        thresholds=one.thresholds,
        prevalence=prevalence,
    )


def _difference(
    truth: Labelled, score_sets: Sequence[UnitScores], other: int, estimates: _Estimates, how: Resampling
) -> Measured:
    """Measure the first score set minus another one."""
    first, second = estimates["all", "0"], estimates["all", str(other)]
    names = [name for name in first if name in second and name not in NOT_SUBTRACTED]
    shared = {name: first[name] - second[name] for name in names}
    name = f"{score_sets[0].name} minus {score_sets[other].name}"
    return measured(name, truth, np.isfinite(score_sets[0].scores), shared, how.level, tested=True)


def _groups(
    truth: Labelled,
    score_sets: Sequence[UnitScores],
    divisions: Sequence[Division],
    estimates: _Estimates,
    how: Resampling,
    prevalence: Mapping[str, float] | None,
) -> tuple[tuple[Group, ...], tuple[Gap, ...]]:
    groups, found = [], []
    for division in divisions:
        inside = [
            _group(truth, score_sets, division, value, estimates, how, prevalence)
            for value in division.groups
        ]
        inside = corrected_over_groups(inside)
        groups += inside
        for number in range(len(score_sets)):
            areas = {g.value: estimates["group", str(number), g.by, g.value]["auc"] for g in inside}
            found += gaps(inside, areas, number, truth.findings, how.level)
    return tuple(groups), tuple(found)


def _group(
    truth: Labelled,
    score_sets: Sequence[UnitScores],
    division: Division,
    value: str,
    estimates: _Estimates,
    how: Resampling,
    prevalence: Mapping[str, float] | None,
) -> Group:
    rows = division.cells == value
    group_truth = replace(truth, labels=np.where(rows[:, None], truth.labels, np.nan))
    inside, rest, small, calls = [], [], [], []
    for number, one in enumerate(score_sets):
        key = (str(number), division.by, value)
        own = estimates["group", *key]
        inside.append(_measured(group_truth, one, own, how, prevalence))
        others = estimates.get(("rest", *key))
        rest.append(against(own["auc"], others["auc"], truth.findings, how.level) if others else {})
        calls.append(calls_against(own, others, truth.findings, how.level) if others else {})
        small.append({row.finding: too_small(row) for row in inside[-1].rows})
    return Group(division.by, value, tuple(inside), tuple(rest), tuple(small), tuple(calls))


def _smallest_p(difference: Measured, how: Resampling) -> list[str]:
    """Warn if the correction for many findings rules out a small p value."""
    least = difference.averaged * 2 / (how.replicates + 1)
    counted = [HEADINGS[name] for name in _BY_PERCENTILES if name in difference.macro]
    if least <= _SMALL_P or not counted:
        return []
    wanted = math.ceil(2 * difference.averaged / _SMALL_P)
    return [
        f"with {difference.averaged} findings and {how.replicates} resamplings no corrected p value of "
        f"{' and '.join(counted)} can be below {min(1, least):.2f}; use --replicates {wanted} or more"
    ]


def _few(whole: Measured) -> list[str]:
    few = [r.finding for r in whole.rows if r.both_classes and fewest_patients(r) < FEW]
    if not few:
        return []
    return [f"fewer than {FEW} patients of one class, so the intervals mean little: {', '.join(few)}"]


def _rarely_drawn(whole: Measured, how: Resampling) -> list[str]:
    """Say how many resamplings held both classes of every finding, if not nearly all did."""
    held = whole.macro["auc"].replicates
    if not whole.averaged or held >= _NEARLY_ALL * how.replicates:
        return []
    return [
        f"{held} of {how.replicates} resamplings held both classes of all {whole.averaged} findings; in the "
        "others, the mean takes a missing finding's mean over resamplings (not the AUC, which needs none)"
    ]
