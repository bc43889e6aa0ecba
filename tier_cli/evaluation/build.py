"""From scored units to the report: every number under one resampling of the patients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.evaluation.calls import FEW
from tier_cli.evaluation.measure import Contender, Labelled, Measured, Resampling, measured
from tier_cli.evaluation.report import Report
from tier_cli.evaluation.subgroups import Division, Gap, Group, against, divide, gaps, too_small
from tier_cli.metrics.bootstrap import Estimate, resample
from tier_cli.metrics.statistics import Statistic, ranking, within

if TYPE_CHECKING:
    from tier_cli.evaluation.context import Evaluation

_SMALL_P = 0.05

Estimates = dict[tuple[str, ...], dict[str, Estimate]]


def build_report(evaluation: Evaluation, by: Sequence[str] = ()) -> Report:
    """Measure one score set, or several and the first less each other, on what all have scores for.

    Parameters
    ----------
    evaluation
        What was scored.
    by
        Columns of the manifest to measure within.
    """
    how = evaluation.protocol.resampling
    contenders = common_ground(evaluation.contenders)
    divisions = [
        divide(column, evaluation.selection.manifest.column(column)).of_units(evaluation.units)
        for column in by
    ]
    truth, contenders, divisions = _used(evaluation.by_unit, contenders, divisions)
    estimates = _estimates(truth, contenders, divisions, how)
    whole = tuple(_one(truth, c, estimates["all", str(i)], how) for i, c in enumerate(contenders))
    notes = [*evaluation.selection.notes, *evaluation.notes]
    differences = tuple(
        _difference(truth, contenders, other, estimates, how) for other in range(1, len(contenders))
    )
    if differences:
        plural, all_ = evaluation.units.plural, "both" if len(contenders) == 2 else "all"
        notes.append(f"{all_} were measured on the {whole[0].n} {plural} that {all_} have scores for")
        notes += _least_p(differences[0], how)
    groups, found = _groups(truth, contenders, divisions, estimates, how)
    # An image that several score sets lack is listed once.
    unscored = {image.path: image for one in reversed(evaluation.scores) for image in one.unscored}
    notes += _few(whole[0], evaluation.units.plural)
    return Report(
        evaluation.protocol, whole, differences, groups, tuple(unscored.values()), tuple(notes), gaps=found
    )


def build_groups(
    truth: Labelled, contenders: Sequence[Contender], divisions: Sequence[Division], how: Resampling
) -> tuple[tuple[Group, ...], tuple[Gap, ...]]:
    """Measure within the groups of each column, and the gaps between them."""
    return _groups(truth, contenders, divisions, _estimates(truth, contenders, divisions, how), how)


def common_ground(contenders: Sequence[Contender]) -> tuple[Contender, ...]:
    """Leave out of each score set what another one lacks."""
    there = np.isfinite([one.scores for one in contenders]).all(axis=0)
    return tuple(
        replace(
            one,
            scores=np.where(there, one.scores, np.nan),
            probabilities=None if one.probabilities is None else np.where(there, one.probabilities, np.nan),
        )
        for one in contenders
    )


def _used(
    truth: Labelled, contenders: Sequence[Contender], divisions: Sequence[Division]
) -> tuple[Labelled, tuple[Contender, ...], list[Division]]:
    """Only patients with a score and a label are resampled."""
    used = np.asarray((np.isfinite(contenders[0].scores) & np.isfinite(truth.labels)).any(axis=1))
    kept = [replace(division, cells=division.cells[used]) for division in divisions]
    return truth.where(used), tuple(one.where(used) for one in contenders), kept


def _estimates(
    truth: Labelled, contenders: Sequence[Contender], divisions: Sequence[Division], how: Resampling
) -> Estimates:
    """Everything by what it is of: ("all", score set), ("group" or "rest", score set, column, value)."""
    statistics: dict[tuple[str, ...], Statistic] = {}
    for number, contender in enumerate(contenders):
        set_number = str(number)
        statistics["all", set_number] = contender.statistic(truth.labels)
        for division in divisions:
            for value in division.groups:
                key = (set_number, division.by, value)
                rows = division.cells == value
                statistics["group", *key] = within(rows, contender.where(rows).statistic(truth.labels[rows]))
                rest = np.isin(division.cells, [other for other in division.sides if other != value])
                if value in division.sides and len(division.sides) > 2:
                    areas = ranking(truth.labels[rest], contender.scores[rest], auprc=False)
                    statistics["rest", *key] = within(rest, areas)
    found = resample(statistics, truth.patients, replicates=how.replicates, seed=how.seed)
    for estimates in found.values():
        if "ece" in estimates:
            estimates["ece"] = estimates["ece"].centred
    for number in range(len(contenders)):
        for division in divisions:
            if len(division.sides) == 2:
                for value, other in (division.sides, division.sides[::-1]):
                    found["rest", str(number), division.by, value] = found[
                        "group", str(number), division.by, other
                    ]
    return found


def _within(truth: Labelled, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(rows[:, None], truth.labels, np.nan)


def _one(truth: Labelled, contender: Contender, estimates: dict[str, Estimate], how: Resampling) -> Measured:
    scored = np.isfinite(contender.scores)
    return measured(contender.name, truth, scored, estimates, how.level, thresholds=contender.thresholds)


def _difference(
    truth: Labelled, contenders: Sequence[Contender], other: int, estimates: Estimates, how: Resampling
) -> Measured:
    """The first score set minus another."""
    first, second = estimates["all", "0"], estimates["all", str(other)]
    shared = {name: first[name] - second[name] for name in first if name in second}
    name = f"{contenders[0].name} minus {contenders[other].name}"
    return measured(name, truth, np.isfinite(contenders[0].scores), shared, how.level, tested=True)


def _groups(
    truth: Labelled,
    contenders: Sequence[Contender],
    divisions: Sequence[Division],
    estimates: Estimates,
    how: Resampling,
) -> tuple[tuple[Group, ...], tuple[Gap, ...]]:
    groups, found = [], []
    for division in divisions:
        inside = [_group(truth, contenders, division, value, estimates, how) for value in division.groups]
        groups += inside
        for number in range(len(contenders)):
            areas = {g.value: estimates["group", str(number), g.by, g.value]["auc"] for g in inside}
            found += gaps(inside, areas, number, truth.findings, how.level)
    return tuple(groups), tuple(found)


def _group(
    truth: Labelled,
    contenders: Sequence[Contender],
    division: Division,
    value: str,
    estimates: Estimates,
    how: Resampling,
) -> Group:
    rows = division.cells == value
    inside, rest, small = [], [], []
    for number, contender in enumerate(contenders):
        key = (str(number), division.by, value)
        own = estimates["group", *key]
        part = replace(truth, labels=_within(truth, rows))
        inside.append(_one(part, contender, own, how))
        others = estimates.get(("rest", *key))
        rest.append(against(own["auc"], others["auc"], truth.findings, how.level) if others else {})
        small.append({row.finding: too_small(row) for row in inside[-1].rows})
    return Group(division.by, value, tuple(inside), tuple(rest), tuple(small))


def _least_p(difference: Measured, how: Resampling) -> list[str]:
    """Say where so many findings are corrected for that no p value could be small."""
    least = difference.averaged * 2 / (how.replicates + 1)
    if least <= _SMALL_P:
        return []
    wanted = math.ceil(2 * difference.averaged / _SMALL_P)
    return [
        f"with {difference.averaged} findings and {how.replicates} resamplings no corrected p value can be "
        f"below {min(1, least):.2f}: --replicates {wanted} or more"
    ]


def _few(whole: Measured, plural: str) -> list[str]:
    few = [r.finding for r in whole.rows if r.both_classes and min(r.positives, r.n - r.positives) < FEW]
    if not few:
        return []
    return [f"fewer than {FEW} {plural} of one class, so the interval says little: {', '.join(few)}"]
