"""Ranking metrics, exact under ties and vectorised over many weightings of the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Ranking:
    """One finding's images, sorted once so that any number of weightings can be measured.

    Parameters
    ----------
    positives, negatives
        Row numbers in ascending order of score, shapes (P,) and (M,).
    below, up_to
        For each positive, how many negatives score less, and how many score less or the same; (P,).
    first_equal
        For each positive, the place of the first positive with the same score; (P,).
    """

    positives: Indices
    negatives: Indices
    below: Indices
    up_to: Indices
    first_equal: Indices

    @property
    def both_classes(self) -> bool:
        """Whether there is anything to rank."""
        return bool(self.positives.size and self.negatives.size)


def rank(labels: ArrayLike, scores: ArrayLike) -> Ranking:
    """Sort one finding's images.

    Parameters
    ----------
    labels
        (N,) 1 = present, 0 = absent; any other value, NaN included, leaves the row out.
    scores
        (N,) higher = more likely present; rows whose score is not finite are left out.
    """
    truth = np.asarray(labels, dtype=np.float64)
    values = np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise ValueError(f"labels {truth.shape} and scores {values.shape} must be of one length")
    known = np.isfinite(values)
    positives = np.flatnonzero(known & (truth == 1))
    negatives = np.flatnonzero(known & (truth == 0))
    positives = positives[np.argsort(values[positives], kind="stable")]
    negatives = negatives[np.argsort(values[negatives], kind="stable")]
    high, low = values[positives], values[negatives]
    return Ranking(
        positives=positives,
        negatives=negatives,
        below=np.searchsorted(low, high, side="left"),
        up_to=np.searchsorted(low, high, side="right"),
        first_equal=np.searchsorted(high, high, side="left"),
    )


def weighted_auc(ranking: Ranking, weights: NDArray[np.generic]) -> Floats:
    """Area under the ROC curve of each weighting: the Mann-Whitney statistic, ties counting one half.

    Parameters
    ----------
    ranking
        From `rank`.
    weights
        (R, N) how often each row counts; for a bootstrap replicate, how often it was drawn.

    Returns
    -------
    (R,); NaN where a weighting leaves one class empty.
    """
    return _auc(ranking, *_cumulated(ranking, weights))


def weighted_average_precision(ranking: Ranking, weights: NDArray[np.generic]) -> Floats:
    """Area under the precision-recall curve as average precision, of each weighting.

    The sum over thresholds of precision times the gain in recall, without interpolation
    (the definition of scikit-learn's ``average_precision_score``). Shapes as in `weighted_auc`;
    NaN where a weighting leaves one class empty.
    """
    return _average_precision(ranking, *_cumulated(ranking, weights))


def weighted_areas(ranking: Ranking, weights: NDArray[np.generic]) -> tuple[Floats, Floats]:
    """Both of `weighted_auc` and `weighted_average_precision` for little more than the price of one."""
    cumulated = _cumulated(ranking, weights)
    return _auc(ranking, *cumulated), _average_precision(ranking, *cumulated)


def _auc(ranking: Ranking, positive: Floats, negative: Floats) -> Floats:
    each = np.diff(positive, axis=1)
    beaten = (negative[:, ranking.below] + negative[:, ranking.up_to]) / 2
    return ratio((each * beaten).sum(axis=1), positive[:, -1] * negative[:, -1])


def _average_precision(ranking: Ranking, positive: Floats, negative: Floats) -> Floats:
    each = np.diff(positive, axis=1)
    found = positive[:, -1:] - positive[:, ranking.first_equal]
    flagged = found + negative[:, -1:] - negative[:, ranking.below]
    precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
    total = positive[:, -1].copy()
    total[negative[:, -1] == 0] = 0
    return ratio((each * precision).sum(axis=1), total)


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve; NaN when only one class is there. Rows as in `rank`."""
    return float(weighted_auc(rank(labels, scores), _once(labels))[0])


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall curve; NaN when only one class is there. Rows as in `rank`."""
    return float(weighted_average_precision(rank(labels, scores), _once(labels))[0])


def macro_mean(values: ArrayLike) -> Floats:
    """Mean over the last axis of the values that are not NaN; NaN where there are none."""
    array = np.asarray(values, dtype=np.float64)
    there = np.isfinite(array)
    return ratio(np.where(there, array, 0).sum(axis=-1), there.sum(axis=-1).astype(np.float64))


def _once(labels: ArrayLike) -> Floats:
    return np.ones((1, len(np.asarray(labels))))


def _cumulated(ranking: Ranking, weights: NDArray[np.generic]) -> tuple[Floats, Floats]:
    """Weight of the first k positives and of the first k negatives, (R, P + 1) and (R, M + 1)."""
    return _running(weights, ranking.positives), _running(weights, ranking.negatives)


def _running(weights: NDArray[np.generic], rows: Indices) -> Floats:
    totals = np.zeros((weights.shape[0], rows.size + 1))
    # Counts stay below 2**53, so that sums in float64 are exact.
    np.cumsum(np.take(weights, rows, axis=1), axis=1, dtype=np.float64, out=totals[:, 1:])
    return totals


def ratio(above: Floats, below: Floats) -> Floats:
    """Divide where `below` is above 0; NaN elsewhere."""
    ratio: Floats = np.full(np.shape(above), np.nan)
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio
