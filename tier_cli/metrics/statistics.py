"""Measure rankings, calls and probabilities as functions of row weights, so that any resampling works."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from tier_cli.metrics.ranking import Floats, rank, ratio, weighted_areas, weighted_auc

Weights = NDArray[np.generic]
# Maps weights (R, N) to each metric's values (R, F); NaN where a weighting cannot be measured.
Statistic = Callable[[Weights], Mapping[str, Floats]]

RANKING = ("auc", "auprc")
DECISIONS = ("sensitivity", "specificity", "ppv", "f1", "mcc")
PROBABILITIES = ("brier", "ece")
METRICS = (*RANKING, *DECISIONS, *PROBABILITIES)
ECE_BINS = 15


def ranking(labels: Floats, scores: Floats, *, auprc: bool = True) -> Statistic:
    """Return a statistic that measures ``auc`` and ``auprc``.

    Parameters
    ----------
    labels
        (N, F) 1 = present, 0 = absent; any other value leaves the row out for that finding.
    scores
        (N, F); NaN leaves the row out for that finding.
    auprc
        False measures ``auc`` alone, in little more than half the time.

    Examples
    --------
    >>> labels = np.array([[1.0], [0.0], [0.0]])
    >>> measured = ranking(labels, np.array([[0.5], [0.5], [0.1]]))(np.ones((1, 3)))
    >>> {name: values.round(3).tolist() for name, values in measured.items()}
    {'auc': [[0.75]], 'auprc': [[0.5]]}
    """
    rankings = [rank(labels[:, f], scores[:, f]) for f in range(labels.shape[1])]
    names = RANKING if auprc else RANKING[:1]

    def statistic(weights: Weights) -> Mapping[str, Floats]:
        areas = np.full((len(names), len(weights), len(rankings)), np.nan)
        for f, finding in enumerate(rankings):
            if finding.both_classes:
                areas[:, :, f] = weighted_areas(finding, weights) if auprc else weighted_auc(finding, weights)
        return dict(zip(names, areas, strict=True))

    return statistic


def decisions(labels: Floats, calls: Floats) -> Statistic:
    """Return a statistic that measures ``sensitivity``, ``specificity``, ``ppv``, ``f1`` and ``mcc``.

    Parameters
    ----------
    labels
        (N, F) 1 = present, 0 = absent; any other value leaves the row out for that finding.
    calls
        (N, F) 1 = called present, 0 = called absent; NaN leaves the row out.

    Notes
    -----
    All are NaN where a class is empty; ``ppv`` also where nothing is called present. ``mcc`` is 0 where all
    rows are called alike, as in scikit-learn.

    Examples
    --------
    >>> labels = np.array([[1.0], [1.0], [0.0], [0.0]])
    >>> calls = np.array([[1.0], [0.0], [0.0], [0.0]])
    >>> measured = decisions(labels, calls)(np.ones((1, 4)))
    >>> {name: round(float(values[0, 0]), 3) for name, values in measured.items()}
    {'sensitivity': 0.5, 'specificity': 1.0, 'ppv': 1.0, 'f1': 0.667, 'mcc': 0.577}
    """
    pairs = ((1, 1), (1, 0), (0, 1), (0, 0))
    masks = [(labels == truth) & (calls == call) for truth, call in pairs]

    def statistic(weights: Weights) -> Mapping[str, Floats]:
        table = tally(weights, masks)
        return {name: formula(*table) for name, formula in _FORMULAS.items()}

    return statistic


def probabilities(labels: Floats, predicted: Floats, bins: int = ECE_BINS) -> Statistic:
    """Return a statistic that measures ``brier`` and ``ece``; both NaN where a class is empty.

    The expected calibration error (ECE) is the mean of |mean probability - share of positives| over bins of
    equal mass, weighted by their size (Naeini, 2015). Bins are cut once, at quantiles of all rows, and stay
    the same in each weighting; equal probabilities share a bin.

    Parameters
    ----------
    labels
        (N, F) 1 = present, 0 = absent; any other value leaves the row out for that finding.
    predicted
        (N, F) probabilities; NaN leaves the row out.
    bins
        Number of bins for the ECE.

    Examples
    --------
    Half the rows are positive but 0.8 is predicted for all of them:

    >>> labels = np.array([[1.0], [1.0], [0.0], [0.0]])
    >>> measured = probabilities(labels, np.full((4, 1), 0.8))(np.ones((1, 4)))
    >>> {name: round(float(values[0, 0]), 3) for name, values in measured.items()}
    {'brier': 0.34, 'ece': 0.3}
    """
    known = ((labels == 0) | (labels == 1)) & np.isfinite(predicted)
    positive = known & (labels == 1)
    truth, values = np.where(positive, 1.0, 0.0), np.where(known, predicted, 0.0)
    bin_numbers = equal_mass(values, known, bins)
    counted = [positive, known, np.where(known, (values - truth) ** 2, 0)]
    # For each bin: probability minus label, to be summed.
    excess = [np.where(bin_numbers == number, values - truth, 0) for number in range(bins)]

    def statistic(weights: Weights) -> Mapping[str, Floats]:
        positives, total, squares = tally(weights, counted)
        total = np.where((positives > 0) & (positives < total), total, 0)
        gaps = sum((np.abs(one) for one in tally(weights, excess)), np.zeros_like(total))
        return {"brier": ratio(squares, total), "ece": ratio(gaps, total)}

    return statistic


def tally(weights: Weights, columns: list[Floats] | list[NDArray[np.bool_]]) -> list[Floats]:
    """Sum each of K columns (N, F) under each weighting (R, N); the result is K arrays (R, F).

    Examples
    --------
    >>> column = np.array([[True], [True], [False]])
    >>> tally(np.array([[1, 1, 1], [2, 1, 0]]), [column])[0].tolist()
    [[2.0], [3.0]]
    """
    as_floats = np.asarray(weights, dtype=np.float64)
    return [as_floats @ np.asarray(column, dtype=np.float64) for column in columns]


def together(*statistics: Statistic) -> Statistic:
    """Combine several statistics into one that measures all their metrics."""

    def statistic(weights: Weights) -> Mapping[str, Floats]:
        return {name: values for one in statistics for name, values in one(weights).items()}

    return statistic


def within(rows: NDArray[np.bool_], statistic: Statistic) -> Statistic:
    """Turn a statistic of the rows where `rows` (N,) is true into one that takes weights of all N rows.

    Examples
    --------
    >>> rows = np.array([True, True, False])
    >>> of_two = ranking(np.array([[1.0], [0.0]]), np.array([[0.9], [0.1]]), auprc=False)
    >>> within(rows, of_two)(np.ones((1, 3)))["auc"].tolist()
    [[1.0]]
    """
    places = np.flatnonzero(rows)

    def inside(weights: Weights) -> Mapping[str, Floats]:
        return statistic(np.take(weights, places, axis=1))

    return inside


def equal_mass(values: Floats, known: NDArray[np.bool_], bins: int) -> NDArray[np.intp]:
    """Number the quantile bin of each known value (N, F) within its column; -1 for the other values.

    Examples
    --------
    >>> values = np.array([[0.1], [0.2], [0.8], [0.9]])
    >>> equal_mass(values, values < 0.9, 2).ravel().tolist()
    [0, 0, 1, -1]
    """
    numbers = np.full(values.shape, -1, dtype=np.intp)
    shares = np.linspace(0, 1, bins + 1)[1:-1]
    for f in range(values.shape[1]):
        rows = known[:, f]
        if rows.any():
            numbers[rows, f] = np.searchsorted(np.quantile(values[rows, f], shares), values[rows, f])
    return numbers


def _sensitivity(tp: Floats, fn: Floats, fp: Floats, tn: Floats) -> Floats:
    return ratio(np.where(fp + tn > 0, tp, np.nan), tp + fn)


def _specificity(tp: Floats, fn: Floats, fp: Floats, tn: Floats) -> Floats:
    return ratio(np.where(tp + fn > 0, tn, np.nan), fp + tn)


def _ppv(tp: Floats, fn: Floats, fp: Floats, tn: Floats) -> Floats:
    return ratio(_if_both_classes(tp, tp, fn, fp, tn), tp + fp)


def _f1(tp: Floats, fn: Floats, fp: Floats, tn: Floats) -> Floats:
    return ratio(_if_both_classes(2 * tp, tp, fn, fp, tn), 2 * tp + fn + fp)


def _mcc(tp: Floats, fn: Floats, fp: Floats, tn: Floats) -> Floats:
    spread = (tp + fn) * (fp + tn) * (tp + fp) * (fn + tn)
    value = np.where(spread > 0, ratio(tp * tn - fp * fn, np.sqrt(spread)), 0.0)
    return _if_both_classes(value, tp, fn, fp, tn)


def _if_both_classes(values: Floats, tp: Floats, fn: Floats, fp: Floats, tn: Floats) -> Floats:
    """Replace values by NaN where a class is empty."""
    return np.where((tp + fn > 0) & (fp + tn > 0), values, np.nan)


_FORMULAS = {"sensitivity": _sensitivity, "specificity": _specificity, "ppv": _ppv, "f1": _f1, "mcc": _mcc}
