"""Compute AUC and average precision, exact under ties, for many weightings of the same rows at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Ranking:
    """The rows of one finding, sorted once so that any number of weightings can be measured.

    Parameters
    ----------
    positives, negatives
        Row numbers in ascending order of score, shapes (P,) and (M,).
    below, up_to
        For each positive, the number of negatives with a lower score, and with a lower or equal score; (P,).
    first_equal
        For each positive, the position of the first positive with the same score; (P,).
    """

    positives: Indices
    negatives: Indices
    below: Indices
    up_to: Indices
    first_equal: Indices

    @property
    def both_classes(self) -> bool:
        """Whether there are both positives and negatives."""
        return bool(self.positives.size and self.negatives.size)


def rank(labels: ArrayLike, scores: ArrayLike) -> Ranking:
    """Sort the rows of one finding by score.

    Parameters
    ----------
    labels
        (N,) 1 = present, 0 = absent. Rows with any other value, including NaN, are left out.
    scores
        (N,) higher = more likely present. Rows whose score is not finite are left out.

    Examples
    --------
    >>> ranking = rank([1, 0, 1, 0], [0.9, 0.2, 0.2, 0.1])
    >>> ranking.positives.tolist(), ranking.negatives.tolist()
    ([2, 0], [3, 1])
    >>> ranking.below.tolist(), ranking.up_to.tolist()
    ([1, 2], [2, 2])
    """
    truth = np.asarray(labels, dtype=np.float64)
    values = np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise ValueError(f"labels {truth.shape} and scores {values.shape} must have the same length")
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
    """Return the area under the ROC curve for each weighting.

    This is the Mann-Whitney statistic: a tie between a positive and a negative counts one half.

    Parameters
    ----------
    ranking
        From `rank`.
    weights
        (R, N) how often each row counts; in a bootstrap replicate, how often it was drawn.

    Returns
    -------
    (R,); NaN where a weighting leaves a class empty.

    Examples
    --------
    The second weighting counts the highest negative twice, the third leaves no positive:

    >>> ranking = rank([0, 1, 0], [0.2, 0.5, 0.7])
    >>> weighted_auc(ranking, np.array([[1, 1, 1], [1, 1, 2], [1, 0, 1]])).round(3).tolist()
    [0.5, 0.333, nan]
    """
    return _auc(ranking, *_cumulated(ranking, weights))


def weighted_areas(ranking: Ranking, weights: NDArray[np.generic]) -> tuple[Floats, Floats]:
    """Return the area under the ROC curve and the average precision for each weighting.

    Average precision is the sum over thresholds of precision times the gain in recall, without interpolation
    (the definition of scikit-learn's ``average_precision_score``). Parameters and shapes are those of
    `weighted_auc`.

    Examples
    --------
    >>> areas = weighted_areas(rank([0, 1, 1], [0.2, 0.1, 0.7]), np.ones((1, 3)))
    >>> [area.round(3).tolist() for area in areas]
    [[0.5], [0.833]]
    """
    cumulated = _cumulated(ranking, weights)
    return _auc(ranking, *cumulated), _average_precision(ranking, *cumulated)


def _auc(ranking: Ranking, positive: Floats, negative: Floats) -> Floats:
    weight = np.diff(positive, axis=1)
    beaten = (negative[:, ranking.below] + negative[:, ranking.up_to]) / 2
    return ratio((weight * beaten).sum(axis=1), positive[:, -1] * negative[:, -1])


def _average_precision(ranking: Ranking, positive: Floats, negative: Floats) -> Floats:
    weight = np.diff(positive, axis=1)
    found = positive[:, -1:] - positive[:, ranking.first_equal]
    flagged = found + negative[:, -1:] - negative[:, ranking.below]
    precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
    total = positive[:, -1].copy()
    total[negative[:, -1] == 0] = 0
    return ratio((weight * precision).sum(axis=1), total)


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve; NaN if there is only one class. Rows are used as in `rank`.

    Examples
    --------
    The positive beats one negative and ties with the other, which counts one half:

    >>> auc([1, 0, 0], [0.5, 0.5, 0.1])
    0.75

    A row without a label or without a score does not count:

    >>> auc([1, 0, 0, float("nan"), 1], [0.5, 0.5, 0.1, 0.9, float("nan")])
    0.75
    """
    return float(weighted_auc(rank(labels, scores), _once(labels))[0])


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the average precision; NaN if there is only one class. Rows are used as in `rank`.

    Examples
    --------
    One positive ranks first (precision 1), the other third (precision 2/3):

    >>> round(average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]), 3)
    0.833
    """
    return float(weighted_areas(rank(labels, scores), _once(labels))[1][0])


def macro_mean(values: ArrayLike) -> Floats:
    """Return the mean over the last axis, ignoring NaN; NaN if every value is NaN.

    Examples
    --------
    >>> macro_mean([[0.6, 0.8, float("nan")], [float("nan")] * 3]).round(3).tolist()
    [0.7, nan]
    """
    array = np.asarray(values, dtype=np.float64)
    known = np.isfinite(array)
    return ratio(np.where(known, array, 0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide where the denominator is positive; NaN elsewhere.

    Examples
    --------
    >>> ratio(np.array([1.0, 1.0]), np.array([4.0, 0.0])).tolist()
    [0.25, nan]
    """
    quotient: Floats = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


def _once(labels: ArrayLike) -> Floats:
    return np.ones((1, len(np.asarray(labels))))


def _cumulated(ranking: Ranking, weights: NDArray[np.generic]) -> tuple[Floats, Floats]:
    """Return the weight of the first k positives and of the first k negatives, (R, P + 1) and (R, M + 1)."""
    return _running_sums(weights, ranking.positives), _running_sums(weights, ranking.negatives)


def _running_sums(weights: NDArray[np.generic], rows: Indices) -> Floats:
    totals = np.zeros((weights.shape[0], rows.size + 1))
    # Counts stay below 2**53, so float64 sums are exact.
    np.cumsum(np.take(weights, rows, axis=1), axis=1, dtype=np.float64, out=totals[:, 1:])
    return totals
