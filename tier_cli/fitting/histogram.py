"""Sum up similarities of patches in narrow intervals, so that memory does not grow with the images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tier_cli.evaluation.sections.grounding_measures import Case

Floats = NDArray[np.float64]

# All similarities lie between -2 and 2. Differences of some foreign models are a few thousandths.
_LIMIT, _STEPS = 2.0, 40_000
_EDGES: Floats = np.linspace(-_LIMIT, _LIMIT, _STEPS + 1)
_ROUNDING = 1e-9


def _bins(values: Floats) -> NDArray[np.intp]:
    """Return the number of the interval between `_EDGES` that holds each value."""
    found = np.floor((values + _LIMIT) * (_STEPS / (2 * _LIMIT)))
    return np.asarray(found.clip(0, _STEPS - 1), np.intp)


def _from_above(weights: Floats) -> Floats:
    """Return, for each of `_EDGES`, the weight of the intervals above it."""
    return np.asarray(np.concatenate([np.cumsum(weights[::-1])[::-1], [0.0]]), np.float64)


@dataclass
class Histogram:
    """Count values in narrow intervals, so that they need not be kept.

    Parameters
    ----------
    counts
        One per interval of 0.0001 between -2 and 2.
    images
        The number of images.
    patients
        Their patients.
    """

    counts: Floats = field(default_factory=lambda: np.zeros(_STEPS))
    images: int = 0
    patients: set[str] = field(default_factory=set)

    def add(self, values: Floats, patient: str) -> None:
        """Add the values of one image."""
        self.counts += np.bincount(_bins(values.ravel()), minlength=_STEPS)
        self.images += 1
        self.patients.add(patient)

    def reached_by(self, share: float) -> float:
        """Return the lowest value that at most this share of the values reach."""
        above = _from_above(self.counts)
        return float(_EDGES[np.argmax(above <= share * above[0] + _ROUNDING)])

    def share_from(self, value: float) -> float:
        """Return the share of the values at or above one of `_EDGES`."""
        return float(self.counts[np.searchsorted(_EDGES, value - _ROUNDING) :].sum() / self.counts.sum())

    def middle(self, tail: float) -> tuple[float, float]:
        """Return the range outside which at most this share of the values lies on either side."""
        below = np.concatenate([[0.0], np.cumsum(self.counts)])
        low = np.flatnonzero(below <= tail * below[-1] + _ROUNDING)[-1]
        return float(_EDGES[low]), self.reached_by(tail)


@dataclass
class DiceCurve:
    """Add up the Dice coefficient at every threshold over cases.

    Parameters
    ----------
    sums
        One per threshold.
    images, patients
        The number of images, and their patients.
    """

    sums: Floats = field(default_factory=lambda: np.zeros(_STEPS + 1))
    images: int = 0
    patients: set[str] = field(default_factory=set)

    def add(self, case: Case, patient: str) -> None:
        """Add one finding in one image."""
        place = _bins(case.similarities)
        common, chosen = (
            _from_above(np.bincount(place, areas, minlength=_STEPS).astype(np.float64))
            for areas in (case.inside, case.covered)
        )
        self.sums += 2 * common / (chosen + case.region)
        self.images += 1
        self.patients.add(patient)

    def best(self, lowest: float = -_LIMIT) -> tuple[float, float]:
        """Return the threshold with the best mean, in the middle of those that are equal, and that mean.

        Only thresholds from `lowest` on are considered.
        """
        sums = np.where(lowest - _ROUNDING <= _EDGES, self.sums, -1.0)
        most = sums.max()
        best = np.flatnonzero(sums >= most - _ROUNDING)
        return float(_EDGES[best[len(best) // 2]]), float(most / self.images)
