"""Bootstrap over patients: intervals for ranking metrics, and for differences between two score sets."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tier_cli.metrics.ranking import Floats, macro_mean
from tier_cli.metrics.statistics import RANKING, Statistic, ranking

Key = TypeVar("Key", bound=Hashable)

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

    def only(self, places: Sequence[int]) -> Estimate:
        """Some of the findings, by their places."""
        return Estimate(self.point[list(places)], self.replicates[:, list(places)])

    def interval(self, level: float = 0.95) -> Floats:
        """Percentile interval (F, 2); NaN for a finding without a point value."""
        tails = [(1 - level) / 2, (1 + level) / 2]
        bounds = np.full((self.point.size, 2), np.nan)
        for number, column in enumerate(self.replicates.T):
            drawn = column[np.isfinite(column)]
            if drawn.size and np.isfinite(self.point[number]):
                bounds[number] = np.quantile(drawn, tails)
        return bounds

    @property
    def centred(self) -> Estimate:
        """The replicates moved so that their mean is the point, and never below 0.

        For metrics such as calibration error, which the noise of resampling itself drives up.
        """
        drawn = np.isfinite(self.replicates)
        means = np.where(drawn, self.replicates, 0).sum(axis=0) / np.maximum(drawn.sum(axis=0), 1)
        return Estimate(self.point, np.maximum(self.replicates - means + self.point, 0))

    def p_values(self) -> Floats:
        """Two-sided p values (F,) of 0: twice the smaller share of replicates on one side of it.

        Counted with one more replicate on either side (Davison & Hinkley, 1997, section 4.4), so never 0.
        """
        drawn = np.isfinite(self.replicates)
        sides = [(drawn & (self.replicates <= 0)).sum(axis=0), (drawn & (self.replicates >= 0)).sum(axis=0)]
        shares = (np.minimum(*sides) + 1) / (drawn.sum(axis=0) + 1)
        return np.where(np.isfinite(self.point), np.minimum(1.0, 2 * shares), np.nan)

    def __sub__(self, other: Estimate) -> Estimate:
        """The paired difference: both sides must come from the same patients, seed and replicates."""
        return Estimate(self.point - other.point, self.replicates - other.replicates)


def resample(
    statistics: Mapping[Key, Statistic],
    patients: Sequence[str] | NDArray[np.generic],
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[Key, dict[str, Estimate]]:
    """Measure statistics on all rows and on resamplings of the patients with replacement.

    A patient drawn twice counts with all rows twice: rows of one patient are not independent. All statistics
    see the same resamplings, so that any two of them can be subtracted.

    Parameters
    ----------
    statistics
        Functions of weights (R, N), from `tier_cli.metrics.statistics`.
    patients
        (N,) one key a row.
    replicates, seed
        The same seed, patients and number of replicates draw the same patients, whatever is measured.
    """
    once = np.ones((1, len(patients)))
    points = {key: statistic(once) for key, statistic in statistics.items()}
    drawn = {
        key: {name: np.full((replicates, values.shape[1]), np.nan) for name, values in point.items()}
        for key, point in points.items()
    }
    for first, weights in _resamplings(patients, replicates, seed):
        for key, statistic in statistics.items():
            for name, values in statistic(weights).items():
                drawn[key][name][first : first + len(weights)] = values
    return {
        key: {name: Estimate(values[0], drawn[key][name]) for name, values in point.items()}
        for key, point in points.items()
    }


def patient_bootstrap(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Sequence[str] | NDArray[np.generic],
    *,
    replicates: int = 1000,
    seed: int = 0,
    metrics: Sequence[str] = RANKING,
) -> dict[str, Estimate]:
    """Measure how every finding's scores rank its rows, as in `resample`.

    Parameters
    ----------
    labels
        (N, F) 1, 0, anything else = row left out for that finding.
    scores
        (N, F), NaN = row left out for that finding.
    patients, replicates, seed
        As in `resample`.
    metrics
        Of ``auc`` and ``auprc``.

    Returns
    -------
    For each metric name an `Estimate` over the F findings.
    """
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 2 or len(patients) != len(truth):
        raise ValueError(
            f"labels {truth.shape}, scores {values.shape}, {len(patients)} patients do not match"
        )
    found = resample({0: ranking(truth, values)}, patients, replicates=replicates, seed=seed)[0]
    return {name: found[name] for name in metrics}


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
