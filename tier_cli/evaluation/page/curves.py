"""Compute the points of ROC, precision-recall and reliability curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.metrics.statistics import ECE_BINS, equal_mass

if TYPE_CHECKING:
    from tier_cli.metrics.ranking import Floats

# 95 % of the standard normal distribution lie within +-_Z.
_Z = 1.959963984540054


@dataclass(frozen=True)
class Curve:
    """The K points of a finding's curves by falling threshold; at the first, nothing is called present.

    Parameters
    ----------
    false_positive_rate, recall
        (K,) share of the negatives, and of the positives, at or above the threshold.
    precision
        (K,) share of positives among the units at or above the threshold; 1 where there are none.
    """

    false_positive_rate: Floats
    recall: Floats
    precision: Floats


@dataclass(frozen=True)
class Bin:
    """A bin of units with similar probabilities.

    Parameters
    ----------
    mean
        Mean probability.
    share, low, high
        Share of positives, and its interval.
    n
        Number of units.
    """

    mean: float
    share: float
    low: float
    high: float
    n: int


def curve(labels: Floats, scores: Floats) -> Curve | None:
    """Return the curves of one finding; None if there is only one class.

    Parameters
    ----------
    labels, scores
        (N,) labels are 1 or 0; NaN in either leaves the unit out.
    """
    known = np.isfinite(labels) & np.isfinite(scores)
    truth, values = labels[known] == 1, scores[known]
    if not truth.any() or truth.all():
        return None
    order = np.argsort(-values, kind="stable")
    truth, values = truth[order], values[order]
    # Equal scores pass a threshold together, so only the last of them is a point.
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    hits, alarms = np.cumsum(truth)[ends], np.cumsum(~truth)[ends]
    return Curve(
        np.append(0.0, alarms / alarms[-1]),
        np.append(0.0, hits / hits[-1]),
        np.append(1.0, hits / (hits + alarms)),
    )


def operating_point(labels: Floats, scores: Floats, threshold: float) -> tuple[float, float, float] | None:
    """Return false-positive rate, recall and precision at a threshold; None if the threshold is NaN.

    Parameters
    ----------
    labels, scores
        (N,) labels are 1 or 0, and both must occur; NaN in either leaves the unit out.
    threshold
        Units with a score at or above it are called present.
    """
    if not np.isfinite(threshold):
        return None
    known = np.isfinite(labels) & np.isfinite(scores)
    truth, called = labels[known] == 1, scores[known] >= threshold
    precision = float(truth[called].mean()) if called.any() else 1.0
    return float(called[~truth].mean()), float(called[truth].mean()), precision


def thin(count: int, most: int = 250) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Choose at most `most` of `count` points, always with the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))


def reliability(labels: Floats, probabilities: Floats, bins: int = ECE_BINS) -> list[Bin]:
    """Return the bins over which the calibration error is measured, with Wilson's intervals (1927).

    Parameters
    ----------
    labels, probabilities
        (N,) labels are 1 or 0; NaN in either leaves the unit out.
    bins
        Number of bins of equal mass; equal probabilities share a bin.
    """
    known = np.isfinite(labels) & np.isfinite(probabilities)
    if not known.any():
        return []
    truth, values = labels[known], probabilities[known]
    places = equal_mass(values[:, None], np.ones((len(values), 1), dtype=bool), bins)[:, 0]
    return [_bin(truth[places == one], values[places == one]) for one in np.unique(places)]


def _bin(truth: Floats, values: Floats) -> Bin:
    n, share = len(truth), float(truth.mean())
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    # Rounding must not put a share of 0 or 1 outside its own interval.
    low, high = min(share, max(0.0, float(middle - half))), max(share, min(1.0, float(middle + half)))
    return Bin(float(values.mean()), share, low, high, n)
