"""From labels and scores to the numbers of a table: each with its interval and its counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tier_cli.evaluation.bootstrap import Estimate, paired_difference, patient_bootstrap

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

    `replicates` counts the resamplings that held both classes: the interval rests on them.
    """

    value: float
    low: float
    high: float
    replicates: int


@dataclass(frozen=True)
class Row:
    """One finding: on how many units it was measured, and the metrics by name (``auc``, ``auprc``)."""

    finding: str
    n: int
    positives: int
    metrics: dict[str, Metric]

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
    """

    name: str
    n: int
    patients: int
    rows: tuple[Row, ...]
    macro: dict[str, Metric]

    @property
    def averaged(self) -> int:
        """How many findings the macro mean is over."""
        return sum(row.both_classes for row in self.rows)


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


def measure(name: str, truth: Labelled, scores: Floats, how: Resampling) -> Measured:
    """Measure one score set (N, F); NaN = no score.

    Only patients with a score and a label are resampled.
    """
    used = np.asarray((np.isfinite(scores) & np.isfinite(truth.labels)).any(axis=1))
    truth, scores = truth.where(used), scores[used]
    estimates = patient_bootstrap(
        truth.labels, scores, truth.patients, replicates=how.replicates, seed=how.seed
    )
    return _measured(name, truth, np.isfinite(scores), estimates, how)


def compare(name: str, truth: Labelled, first: Floats, second: Floats, how: Resampling) -> Measured:
    """Measure first minus second score set (N, F), paired by patient, on what both have scores for."""
    both = np.isfinite(first) & np.isfinite(second)
    used = np.asarray((both & np.isfinite(truth.labels)).any(axis=1))
    truth, first, second = truth.where(used), first[used], second[used]
    estimates = paired_difference(
        truth.labels, first, second, truth.patients, replicates=how.replicates, seed=how.seed
    )
    return _measured(name, truth, both[used], estimates, how)


def _measured(
    name: str, truth: Labelled, scored: NDArray[np.bool_], estimates: dict[str, Estimate], how: Resampling
) -> Measured:
    table = {metric: _metrics(estimate, how.level) for metric, estimate in estimates.items()}
    rows = []
    for number, finding in enumerate(truth.findings):
        known = truth.labels[scored[:, number], number]
        metrics = {metric: column[number] for metric, column in table.items()}
        positives = int((known == 1).sum())
        rows.append(Row(finding, positives + int((known == 0).sum()), positives, metrics))
    return Measured(
        name=name,
        n=len(truth.patients),
        patients=len(np.unique(truth.patients)),
        rows=tuple(rows),
        macro={metric: _metrics(estimate.macro, how.level)[0] for metric, estimate in estimates.items()},
    )


def _metrics(estimate: Estimate, level: float) -> Sequence[Metric]:
    used = np.isfinite(estimate.replicates).sum(axis=0)
    bounds = estimate.interval(level)
    return [
        Metric(float(value), float(low), float(high), int(count))
        for value, (low, high), count in zip(estimate.point, bounds, used, strict=True)
    ]
