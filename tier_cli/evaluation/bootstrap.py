"""Bootstrap over patients: intervals for ranking metrics, and for differences between two score sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tier_cli.evaluation.metrics import (
    Floats,
    Ranking,
    macro_mean,
    rank,
    weighted_auc,
    weighted_average_precision,
)

Metric = Callable[[Ranking, NDArray[np.generic]], Floats]

METRICS: Mapping[str, Metric] = {"auc": weighted_auc, "auprc": weighted_average_precision}
_CELLS = 1_000_000  # weights held at a time: bounds memory at a few tens of megabytes


@dataclass(frozen=True)
class Estimate:
    """A metric, or a difference, on all rows and on every replicate.

    Parameters
    ----------
    point
        (F,) on the rows as they are; NaN for a finding with one class.
    replicates
        (R, F) on each resampling of patients; NaN where a replicate drew one class only.
    """

    point: Floats
    replicates: Floats

    @property
    def macro(self) -> Estimate:
        """The mean over findings with both classes; (1,) and (R, 1).

        A replicate that drew one class only of a finding averages over the others.
        """
        return Estimate(np.atleast_1d(macro_mean(self.point)), macro_mean(self.replicates)[:, None])

    def interval(self, level: float = 0.95) -> Floats:
        """Percentile interval (F, 2); NaN for a finding without a point value."""
        tails = [(1 - level) / 2, (1 + level) / 2]
        bounds = np.full((self.point.size, 2), np.nan)
        for number, column in enumerate(self.replicates.T):
            drawn = column[np.isfinite(column)]
            if drawn.size and np.isfinite(self.point[number]):
                bounds[number] = np.quantile(drawn, tails)
        return bounds

    def __sub__(self, other: Estimate) -> Estimate:
        """The paired difference: both sides must come from the same patients, seed and replicates."""
        return Estimate(self.point - other.point, self.replicates - other.replicates)


def patient_bootstrap(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Sequence[str] | NDArray[np.generic],
    *,
    replicates: int = 1000,
    seed: int = 0,
    metrics: Sequence[str] = ("auc", "auprc"),
) -> dict[str, Estimate]:
    """Measure every finding on all rows and on resamplings of the patients with replacement.

    A patient drawn twice counts with all images twice: images of one patient are not independent.

    Parameters
    ----------
    labels
        (N, F) 1, 0, anything else = row left out for that finding.
    scores
        (N, F), NaN = row left out for that finding.
    patients
        (N,) one key a row.
    replicates, seed
        The same seed, patients and number of replicates draw the same patients, whatever the scores.
    metrics
        Names from `METRICS`.

    Returns
    -------
    For each metric name an `Estimate` over the F findings.
    """
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 2 or len(patients) != len(truth):
        raise ValueError(
            f"labels {truth.shape}, scores {values.shape}, {len(patients)} patients do not match"
        )
    rankings = [rank(truth[:, f], values[:, f]) for f in range(truth.shape[1])]
    points = {name: np.full(len(rankings), np.nan) for name in metrics}
    drawn = {name: np.full((replicates, len(rankings)), np.nan) for name in metrics}
    once = np.ones((1, len(truth)))
    for f, ranking in enumerate(rankings):
        for name in metrics:
            points[name][f] = METRICS[name](ranking, once)[0]
    for first, weights in _resamplings(patients, replicates, seed):
        for f, ranking in enumerate(rankings):
            if ranking.both_classes:
                for name in metrics:
                    drawn[name][first : first + len(weights), f] = METRICS[name](ranking, weights)
    return {name: Estimate(points[name], drawn[name]) for name in metrics}


def paired_difference(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    patients: Sequence[str] | NDArray[np.generic],
    *,
    replicates: int = 1000,
    seed: int = 0,
    metrics: Sequence[str] = ("auc", "auprc"),
) -> dict[str, Estimate]:
    """First minus second score set, on the rows that both have, under the same resampling of patients.

    Parameters and result as in `patient_bootstrap`.
    """
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    both = np.isfinite(one) & np.isfinite(two)
    truth = np.where(both, np.asarray(labels, dtype=np.float64), np.nan)
    measured = [
        patient_bootstrap(truth, side, patients, replicates=replicates, seed=seed, metrics=metrics)
        for side in (one, two)
    ]
    return {name: measured[0][name] - measured[1][name] for name in metrics}


def _resamplings(
    patients: Sequence[str] | NDArray[np.generic], replicates: int, seed: int
) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """Yield (number of the first replicate, weights (r, N)) until all replicates are drawn."""
    keys, row_patient = np.unique(np.asarray(patients), return_inverse=True)
    generator = np.random.default_rng(seed)
    chunk = max(1, _CELLS // max(1, len(row_patient)))
    for first in range(0, replicates if len(keys) else 0, chunk):
        count = min(chunk, replicates - first)
        weights = np.empty((count, len(row_patient)), dtype=np.int32)
        for row in range(count):
            # One draw a replicate, so that the numbers do not depend on the size of a chunk.
            picks = generator.integers(0, len(keys), size=len(keys))
            weights[row] = np.bincount(picks, minlength=len(keys))[row_patient]
        yield first, weights
