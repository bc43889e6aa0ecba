"""Resample patients to give metrics, and differences between two score sets, intervals and p values."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tier_cli.metrics.ranking import Floats, macro_mean
from tier_cli.metrics.standard_errors import (
    bounded_error,
    difference_interval,
    logit_interval,
    normal_quantile,
    share_interval,
)
from tier_cli.metrics.statistics import Statistic, basis_of

Key = TypeVar("Key", bound=Hashable)

LEAST_P = 1e-6
_MOST_ERRORS = 5.0
_HALVINGS = 40
_CELLS = 1_000_000  # weights held at a time: bounds memory at a few tens of megabytes


@dataclass(frozen=True)
class Estimate:
    """A metric, or a difference of two, on all rows and on every bootstrap replicate.

    Parameters
    ----------
    point
        (F,) on the rows as they are; NaN for a finding with only one class.
    replicates
        (R, F) on each resampling of patients; NaN where a replicate drew only one class.
    influence
        (P, F) by how much each patient moves the metric, as in `Basis`; None if the interval rests on the
        replicates.
    patients
        (F,) of a metric between 0 and 1, as in `Basis`; None for other metrics and for differences.
    share
        Whether the metric is a share, as in `Basis`.
    unseen
        (F,) of a mean: variance of findings that look certain because resampling never changes them.
    drawn
        (F,) the replicates that could be measured; None to count them.
    sides
        Of a difference of metrics between 0 and 1 without influences: the two metrics.

    Examples
    --------
    >>> one = Estimate(np.array([0.8]), np.array([[0.7], [0.8], [0.9]]))
    >>> other = Estimate(np.array([0.6]), np.array([[0.6], [0.5], [0.7]]))
    >>> one.interval(0.9).round(2).tolist()
    [[0.71, 0.89]]
    >>> (one - other).point.round(2).tolist(), (one - other).p_values().tolist()
    ([0.2], [0.5])
    """

    point: Floats
    replicates: Floats
    influence: NDArray[np.float32] | None = None
    patients: Floats | None = None
    share: bool = False
    unseen: Floats | None = None
    drawn: NDArray[np.intp] | None = None
    sides: tuple[Estimate, Estimate] | None = None

    @property
    def macro(self) -> Estimate:
        """The mean over findings with both classes; (1,) and (R, 1).

        Every replicate averages over the same findings. Where it drew only one class of a finding, it takes
        that finding's mean; the finding's other replicates are spread so that its variance stays. `drawn`
        counts the replicates that drew both classes of every finding.
        """
        known = self.only(np.flatnonzero(np.isfinite(self.point)).tolist())
        there = np.isfinite(known.replicates)
        drawn = np.atleast_1d(there.all(axis=1).sum() if known.point.size else 0)
        if known.sides is not None:
            return replace(known.sides[0].macro - known.sides[1].macro, drawn=drawn)
        count = max(1, known.point.size)
        means, variances = _moments(known.replicates)
        # The other replicates are spread so that the finding's variance stays.
        stretch = np.sqrt(len(there) / np.maximum(there.sum(axis=0), 1))
        moved = np.where(there, (known.replicates - means) * stretch, 0.0) + means
        influence, patients, unseen = None, None, None
        if known.influence is not None:
            influence = (
                known.influence.sum(axis=1, keepdims=True, dtype=np.float64).astype(np.float32) / count
            )
        if known.patients is not None:
            patients = np.atleast_1d(known.patients.sum())
            gaps = known.standard_errors**2 - variances
            unseen = np.atleast_1d(np.maximum(gaps.sum(), 0) / count**2) if influence is None else None
        return Estimate(
            np.atleast_1d(macro_mean(self.point)),
            macro_mean(np.where(there.any(axis=0), moved, known.point))[:, None],
            influence,
            patients,
            self.share,
            unseen,
            drawn,
        )

    def only(self, places: Sequence[int]) -> Estimate:
        """Return the estimate of the findings at the given positions."""
        kept = list(places)
        return Estimate(
            self.point[kept],
            self.replicates[:, kept],
            None if self.influence is None else self.influence[:, kept],
            None if self.patients is None else self.patients[kept],
            self.share,
            None if self.unseen is None else self.unseen[kept],
            None if self.drawn is None else self.drawn[kept],
            None if self.sides is None else (self.sides[0].only(kept), self.sides[1].only(kept)),
        )

    @property
    def measured(self) -> NDArray[np.intp]:
        """(F,) the number of replicates that drew what the metric needs."""
        return np.isfinite(self.replicates).sum(axis=0) if self.drawn is None else self.drawn

    @property
    def standard_errors(self) -> Floats:
        """(F,) of the metric, or of the difference, by patient."""
        if self.influence is not None:
            errors: Floats = np.sqrt((self.influence.astype(np.float64) ** 2).sum(axis=0))
            return errors
        variances = _moments(self.replicates)[1]
        if self.unseen is not None:
            return np.sqrt(variances + self.unseen)
        if self.patients is None:
            return np.sqrt(variances)
        return bounded_error(self.point, variances, self.patients, self.share)

    def interval(self, level: float = 0.95) -> Floats:
        """Return the interval (F, 2); NaN for a finding without a point value.

        Shares have Wilson's interval, other metrics between 0 and 1 one that is symmetric on the logit scale,
        differences of AUCs one that is symmetric around the difference, other differences of metrics between
        0 and 1 what the intervals of both sides imply, and all else the percentiles of the replicates.
        """
        return self._interval(np.float64(level))

    def _interval(self, level: np.float64 | Floats) -> Floats:
        if self.sides is not None:
            first, second = (one._interval(level) for one in self.sides)
            bounds = difference_interval(
                np.column_stack([self.sides[0].point, first]),
                np.column_stack([self.sides[1].point, second]),
                _correlations(self.sides[0].replicates, self.sides[1].replicates),
            )
        elif self.patients is not None:
            form = share_interval if self.share else logit_interval
            bounds = form(self.point, self.standard_errors, self.patients, level)
        elif self.influence is not None:
            half = normal_quantile(level) * self.standard_errors
            bounds = np.stack([self.point - half, self.point + half], axis=1)
        else:
            bounds = self._percentiles(float(level))
        bounds[~np.isfinite(self.point)] = np.nan
        return bounds

    def _percentiles(self, level: float) -> Floats:
        tails = [(1 - level) / 2, (1 + level) / 2]
        bounds = np.full((self.point.size, 2), np.nan)
        for number, column in enumerate(self.replicates.T):
            drawn = column[np.isfinite(column)]
            if drawn.size:
                bounds[number] = np.quantile(drawn, tails)
        return bounds

    @property
    def centred(self) -> Estimate:
        """The estimate with replicates shifted so that their mean is the point, and cut off at 0.

        For metrics such as the calibration error, which resampling noise itself inflates.
        """
        drawn = np.isfinite(self.replicates)
        means = np.where(drawn, self.replicates, 0).sum(axis=0) / np.maximum(drawn.sum(axis=0), 1)
        return replace(self, replicates=np.maximum(self.replicates - means + self.point, 0))

    def p_values(self) -> Floats:
        """Return two-sided p values (F,) against 0, which agree with the intervals.

        With influences, from the normal distribution; with two sides, 1 minus the level at which the interval
        ends at 0; neither is ever below `LEAST_P`. Otherwise, twice the smaller share of replicates on one
        side; one replicate is added on either side (Davison & Hinkley, 1997, section 4.4), so p is never 0.
        """
        from scipy.special import ndtr

        if self.influence is not None:
            errors = self.standard_errors
            z = np.divide(np.abs(self.point), errors, out=np.zeros_like(errors), where=errors > 0)
            p = np.maximum(2 * ndtr(-z), LEAST_P)
        elif self.sides is not None:
            least, most = np.zeros(self.point.size), np.full(self.point.size, _MOST_ERRORS)
            for _ in range(_HALVINGS):
                z = (least + most) / 2
                low, high = self._interval(1 - 2 * ndtr(-z)).T
                holds_zero = (low <= 0) & (high >= 0)
                least, most = np.where(holds_zero, least, z), np.where(holds_zero, z, most)
            p = np.maximum(2 * ndtr(-least), LEAST_P)
        else:
            drawn = np.isfinite(self.replicates)
            sides = [
                (drawn & (self.replicates <= 0)).sum(axis=0),
                (drawn & (self.replicates >= 0)).sum(axis=0),
            ]
            p = np.minimum(1.0, 2 * (np.minimum(*sides) + 1) / (drawn.sum(axis=0) + 1))
        return np.where(np.isfinite(self.point), p, np.nan)

    def __sub__(self, other: Estimate) -> Estimate:
        """Return the paired difference; both sides must share patients, seed and number of replicates."""
        influence, sides = None, None
        if self.influence is not None and other.influence is not None:
            influence = self.influence - other.influence
        elif self.patients is not None and other.patients is not None:
            sides = (self, other)
        point, replicates = self.point - other.point, self.replicates - other.replicates
        return Estimate(point, replicates, influence, sides=sides)


def _correlations(first: Floats, second: Floats) -> Floats:
    """Return the correlation (F,) of two metrics over the replicates; 0 where one does not vary."""
    there = np.isfinite(first) & np.isfinite(second)
    sides = [np.where(there, one, np.nan) for one in (first, second)]
    moved = [np.where(there, one - _moments(one)[0], 0) for one in sides]
    scale = np.sqrt((moved[0] ** 2).sum(axis=0) * (moved[1] ** 2).sum(axis=0))
    shared: Floats = (moved[0] * moved[1]).sum(axis=0)
    found: Floats = np.divide(shared, scale, out=np.zeros_like(scale), where=scale > 1e-12)
    return found


def _moments(replicates: Floats) -> tuple[Floats, Floats]:
    """Return mean and variance (F,) of the replicates that are not NaN; 0 without any."""
    there = np.isfinite(replicates)
    count = there.sum(axis=0)
    means = np.where(there, replicates, 0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(there, (replicates - means) ** 2, 0).sum(axis=0)
    return means, squares / np.maximum(count - 1, 1)


def resample(
    statistics: Mapping[Key, Statistic],
    patients: Sequence[str] | NDArray[np.generic],
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[Key, dict[str, Estimate]]:
    """Measure statistics on all rows and on resamplings of the patients with replacement.

    A patient who is drawn twice counts with all of their rows twice, because rows of one patient are not
    independent. All statistics see the same resamplings, so any two of them can be subtracted.

    Parameters
    ----------
    statistics
        Functions of weights (R, N), from `tier_cli.metrics.statistics`.
    patients
        (N,) one key per row.
    replicates, seed
        The same seed, patients and number of replicates draw the same patients, whatever is measured.

    Returns
    -------
    For each key of `statistics`, an `Estimate` over F findings by metric name.

    Examples
    --------
    The mean AUC of two findings, with a 95 % interval, from two images of each of 40 patients:

    >>> from tier_cli.metrics.statistics import ranking
    >>> patients = np.repeat([f"p{number}" for number in range(40)], 2)
    >>> labels = np.stack([np.arange(80) % 4 == 0, np.arange(80) % 5 == 0], axis=1).astype(float)
    >>> scores = labels + np.sin(np.arange(160)).reshape(80, 2)
    >>> mean = resample({"model": ranking(labels, scores)}, patients, seed=1)["model"]["auc"].macro
    >>> low, high = mean.interval()[0]
    >>> f"{mean.point[0]:.2f} [{low:.2f}, {high:.2f}]"
    '0.82 [0.73, 0.89]'
    """
    once = np.ones((1, len(patients)))
    points = {key: statistic(once) for key, statistic in statistics.items()}
    drawn = {
        key: {name: np.full((replicates, values.shape[1]), np.nan) for name, values in point.items()}
        for key, point in points.items()
    }
    for first, weights in resamplings(patients, replicates, seed):
        for key, statistic in statistics.items():
            for name, values in statistic(weights).items():
                drawn[key][name][first : first + len(weights)] = values
    keys, row_patient = np.unique(np.asarray(patients), return_inverse=True)
    found: dict[Key, dict[str, Estimate]] = {}
    for key, point in points.items():
        found[key] = {name: Estimate(values[0], drawn[key][name]) for name, values in point.items()}
        for name, basis in basis_of(statistics[key], row_patient, len(keys)).items():
            found[key][name] = replace(
                found[key][name], influence=basis.influence, patients=basis.patients, share=basis.share
            )
    return found


def resamplings(
    patients: Sequence[str] | NDArray[np.generic],
    replicates: int,
    seed: int | tuple[int, ...],
    cells: int = _CELLS,
) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """Draw patients with replacement, a part of the replicates at a time.

    Parameters
    ----------
    patients
        (N,) one key per row.
    replicates, seed
        As in `resample`.
    cells
        The most weights that a part has; the draws do not depend on it.

    Yields
    ------
    The number of the first replicate, and how often each row was drawn (r, N).
    """
    keys, row_patient = np.unique(np.asarray(patients), return_inverse=True)
    generator = np.random.default_rng(seed)
    chunk = max(1, cells // max(1, len(row_patient)))
    for first in range(0, replicates if len(keys) else 0, chunk):
        count = min(chunk, replicates - first)
        weights = np.empty((count, len(row_patient)), dtype=np.int32)
        for row in range(count):
            # One draw per replicate, so that the numbers do not depend on the chunk size.
            picks = generator.integers(0, len(keys), size=len(keys))
            weights[row] = np.bincount(picks, minlength=len(keys))[row_patient]
        yield first, weights
