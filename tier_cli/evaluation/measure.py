"""From labels and scores to the numbers of a table: each with its interval and its counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.findings.load import NO_FINDINGS
from tier_cli.metrics.bootstrap import Estimate, resample
from tier_cli.metrics.statistics import Statistic, decisions, probabilities, ranking, together

if TYPE_CHECKING:
    from tier_cli.evaluation.calls import Thresholds

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: percentiles over resamplings of patients with replacement."""

    replicates: int = 1000
    seed: int = 0
    level: float = 0.95


@dataclass(frozen=True)
class Metric:
    """A number and its interval; all NaN where there is only one class.

    `replicates` counts the resamplings that held both classes: the interval rests on them. A difference has
    `p`, two-sided and of the bootstrap, and `p_holm`, corrected by Holm over the findings. A mean says over
    how many `findings`.
    """

    value: float
    low: float
    high: float
    replicates: int
    p: float | None = None
    p_holm: float | None = None
    findings: int | None = None


@dataclass(frozen=True)
class Row:
    """One finding: on how many units it was measured, and the metrics by name.

    `threshold` is the score from which on it was called present; NaN where there is none.
    """

    finding: str
    n: int
    positives: int
    metrics: dict[str, Metric]
    threshold: float = math.nan

    @property
    def both_classes(self) -> bool:
        """Whether there is anything to rank."""
        return 0 < self.positives < self.n


@dataclass(frozen=True)
class Measured:
    """A score set, or the difference of two, on some units: images, studies or patients.

    Parameters
    ----------
    name
        What was measured: a model, a file of scores, or one minus the other.
    n, patients
        How many units, of how many patients, have a score and a label; a finding may have fewer, where its
        label is blank.
    rows
        One a finding.
    macro
        The mean of each metric over the findings with both classes.
    thresholds
        What calls rest on, if there are any.
    macro_without
        The mean without `left_out`; empty where there is none such.
    """

    name: str
    n: int
    patients: int
    rows: tuple[Row, ...]
    macro: dict[str, Metric]
    thresholds: Thresholds | None = None
    macro_without: dict[str, Metric] = field(default_factory=dict)

    @property
    def averaged(self) -> int:
        """How many findings the macro mean is over."""
        return sum(row.both_classes for row in self.rows)

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the macro mean is over though it is no finding."""
        return tuple(row.finding for row in self.rows if row.both_classes and row.finding in NO_FINDINGS)


@dataclass(frozen=True)
class Labelled:
    """Images with labels: 1, 0, NaN = blank or left out.

    Parameters
    ----------
    findings
        F finding ids.
    labels
        (N, F).
    patients
        (N,) one key an image.
    """

    findings: tuple[str, ...]
    labels: Floats
    patients: Texts

    def where(self, keep: NDArray[np.bool_]) -> Labelled:
        """The images for which `keep` (N,) is true."""
        return Labelled(self.findings, self.labels[keep], self.patients[keep])


def settle_uncertain(labels: Floats, uncertain: str) -> Floats:
    """Turn -1 into a label; blanks stay blank, whatever is chosen.

    Parameters
    ----------
    labels
        (N, F) 1, 0, -1, NaN.
    uncertain
        ``ignore``, ``positive`` or ``negative``.
    """
    value = {"ignore": np.nan, "positive": 1.0, "negative": 0.0}[uncertain]
    return np.where(labels == -1, value, labels)


@dataclass(frozen=True)
class Contender:
    """A score set with what follows from it.

    Parameters
    ----------
    name
        The model or the file.
    scores
        (N, F), NaN = none.
    thresholds
        From which score on each finding is called present; None where nothing says.
    probabilities
        (N, F), NaN = none; None where the scores are no probabilities and nothing makes them so.
    """

    name: str
    scores: Floats
    thresholds: Thresholds | None = None
    probabilities: Floats | None = None

    @property
    def calls(self) -> Floats | None:
        """(N, F) 1, 0, NaN; None without thresholds."""
        return None if self.thresholds is None else self.thresholds.calls(self.scores)

    def statistic(self, labels: Floats) -> Statistic:
        """All that can be measured of it: rankings, then calls, then probabilities."""
        labels = np.where(np.isfinite(self.scores), labels, np.nan)
        parts = [ranking(labels, self.scores)]
        if self.calls is not None:
            parts.append(decisions(labels, self.calls))
        if self.probabilities is not None:
            parts.append(probabilities(labels, self.probabilities))
        return together(*parts)

    def where(self, keep: NDArray[np.bool_]) -> Contender:
        """The rows for which `keep` (N,) is true."""
        chosen = None if self.probabilities is None else self.probabilities[keep]
        return replace(self, scores=self.scores[keep], probabilities=chosen)


def measure(name: str, truth: Labelled, scores: Floats, how: Resampling) -> Measured:
    """Measure how one score set (N, F) ranks; NaN = no score.

    Only patients with a score and a label are resampled.
    """
    used = np.asarray((np.isfinite(scores) & np.isfinite(truth.labels)).any(axis=1))
    truth, scores = truth.where(used), scores[used]
    statistics = {0: ranking(truth.labels, scores)}
    estimates = resample(statistics, truth.patients, replicates=how.replicates, seed=how.seed)[0]
    return measured(name, truth, np.isfinite(scores), estimates, how.level)


def compare(name: str, truth: Labelled, first: Floats, second: Floats, how: Resampling) -> Measured:
    """Measure first minus second score set (N, F), paired by patient, on what both have scores for."""
    both = np.isfinite(first) & np.isfinite(second)
    used = np.asarray((both & np.isfinite(truth.labels)).any(axis=1))
    truth, first, second = truth.where(used), first[used], second[used]
    labels = np.where(both[used], truth.labels, np.nan)
    statistics = {side: ranking(labels, scores) for side, scores in enumerate((first, second))}
    found = resample(statistics, truth.patients, replicates=how.replicates, seed=how.seed)
    estimates = {metric: found[0][metric] - found[1][metric] for metric in found[0]}
    return measured(name, truth, both[used], estimates, how.level, tested=True)


def measured(
    name: str,
    truth: Labelled,
    scored: NDArray[np.bool_],
    estimates: Mapping[str, Estimate],
    level: float,
    *,
    thresholds: Thresholds | None = None,
    tested: bool = False,
) -> Measured:
    """Put estimates beside their counts.

    Parameters
    ----------
    name
        What was measured.
    truth, scored
        The labels (N, F), and which of them have a score.
    estimates
        By metric, over F findings.
    level
        Of the intervals.
    thresholds
        What calls rest on.
    tested
        These are differences: add p values, Holm's over the findings.
    """
    table = {metric: as_metrics(estimate, level, tested) for metric, estimate in estimates.items()}
    values = np.full(len(truth.findings), np.nan) if thresholds is None else thresholds.values
    rows = []
    for number, finding in enumerate(truth.findings):
        known = truth.labels[scored[:, number], number]
        metrics = {metric: column[number] for metric, column in table.items()}
        positives = int((known == 1).sum())
        n = positives + int((known == 0).sum())
        rows.append(Row(finding, n, positives, metrics, float(values[number])))
    counted = np.asarray((scored & np.isfinite(truth.labels)).any(axis=1))
    found = Measured(
        name,
        int(counted.sum()),
        len(np.unique(truth.patients[counted])),
        tuple(rows),
        {metric: _mean(one, level, tested) for metric, one in estimates.items()},
        thresholds,
    )
    if len(found.left_out) in (0, found.averaged):
        return found
    kept = [place for place, finding in enumerate(truth.findings) if finding not in found.left_out]
    without = {metric: _mean(one.only(kept), level, tested) for metric, one in estimates.items()}
    return replace(found, macro_without=without)


def _mean(estimate: Estimate, level: float, tested: bool) -> Metric:
    mean = as_metrics(estimate.macro, level, tested)[0]
    return replace(mean, p_holm=None, findings=int(np.isfinite(estimate.point).sum()))


def holm(p_values: Floats) -> Floats:
    """Correct p values (F,) for their number (Holm, 1979); NaN stays and does not count."""
    corrected = np.full(p_values.shape, np.nan)
    order = np.argsort(p_values, kind="stable")[: int(np.isfinite(p_values).sum())]
    steps = np.minimum(1.0, p_values[order] * np.arange(order.size, 0, -1))
    corrected[order] = np.maximum.accumulate(steps)
    return corrected


def as_metrics(estimate: Estimate, level: float, tested: bool = False) -> list[Metric]:
    """Give each column's value, interval and, where `tested`, p values."""
    used = np.isfinite(estimate.replicates).sum(axis=0)
    bounds = estimate.interval(level)
    found = [
        Metric(float(value), float(low), float(high), int(count))
        for value, (low, high), count in zip(estimate.point, bounds, used, strict=True)
    ]
    if not tested:
        return found
    plain = estimate.p_values()
    pairs = zip(found, plain.tolist(), holm(plain).tolist(), strict=True)
    return [replace(metric, p=p, p_holm=corrected) for metric, p, corrected in pairs]
