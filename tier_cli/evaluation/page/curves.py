"""The points of ROC, precision-recall and reliability curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.metrics.statistics import ECE_BINS, equal_mass

if TYPE_CHECKING:
    from tier_cli.metrics.ranking import Floats

# Of the standard normal distribution: 95 % lie within.
_Z = 1.959963984540054


@dataclass(frozen=True)
class Curve:
    """Points (K,) of a finding's curves, by falling threshold: at first nothing is called present.

    Parameters
    ----------
    wrong, found
        Share of the negatives and of the positives at or above the threshold.
    precision
        Share of positives among what is at or above it; 1 where nothing is.
    """

    wrong: Floats
    found: Floats
    precision: Floats


@dataclass(frozen=True)
class Bin:
    """Units of like probability: their mean probability, their share of positives with an interval."""

    mean: float
    share: float
    low: float
    high: float
    n: int


def curve(labels: Floats, scores: Floats) -> Curve | None:
    """Give the curves of one finding.

    Parameters
    ----------
    labels, scores
        (N,) 1, 0, NaN = left out.

    Returns
    -------
    None where there is one class only.
    """
    known = np.isfinite(labels) & np.isfinite(scores)
    truth, values = labels[known] == 1, scores[known]
    if not truth.any() or truth.all():
        return None
    order = np.argsort(-values, kind="stable")
    truth, values = truth[order], values[order]
    # Equal scores pass a threshold together.
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    hits, alarms = np.cumsum(truth)[ends], np.cumsum(~truth)[ends]
    return Curve(
        np.append(0.0, alarms / alarms[-1]),
        np.append(0.0, hits / hits[-1]),
        np.append(1.0, hits / (hits + alarms)),
    )


def point(labels: Floats, scores: Floats, threshold: float) -> tuple[float, float, float] | None:
    """Give the share of negatives and of positives at or above a threshold, and the precision there.

    Parameters
    ----------
    labels, scores
        (N,) 1, 0, NaN = left out; both classes.
    threshold
        NaN = none.
    """
    if not np.isfinite(threshold):
        return None
    known = np.isfinite(labels) & np.isfinite(scores)
    truth, called = labels[known] == 1, scores[known] >= threshold
    precision = float(truth[called].mean()) if called.any() else 1.0
    return float(called[~truth].mean()), float(called[truth].mean()), precision


def thin(count: int, most: int = 250) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Choose at most `most` of `count` points, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))


def reliability(labels: Floats, probabilities: Floats, bins: int = ECE_BINS) -> list[Bin]:
    """Give the bins that the calibration error is measured over, with Wilson's intervals (1927).

    Parameters
    ----------
    labels, probabilities
        (N,) 1, 0, NaN = left out.
    bins
        Of equal mass; equal probabilities share one.
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
    # Rounding must not put 0 or 1 outside of their own intervals.
    low, high = min(share, max(0.0, float(middle - half))), max(share, min(1.0, float(middle + half)))
    return Bin(float(values.mean()), share, low, high, n)
