"""What is measured, as functions of how often each row counts: so that any resampling can be measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from tier_cli.metrics.ranking import Floats, rank, ratio, weighted_areas, weighted_auc

Weights = NDArray[np.generic]
# From weights (R, N) to each metric's values (R, F); NaN where a weighting cannot be measured.
Statistic = Callable[[Weights], Mapping[str, Floats]]

RANKING = ("auc", "auprc")
DECISIONS = ("sensitivity", "specificity", "ppv", "f1", "mcc")
PROBABILITIES = ("brier", "ece")
METRICS = (*RANKING, *DECISIONS, *PROBABILITIES)
ECE_BINS = 15


def ranking(labels: Floats, scores: Floats, *, auprc: bool = True) -> Statistic:
    """Give ``auc`` and ``auprc``.

    Parameters
    ----------
    labels
        (N, F) 1, 0, anything else = row left out for that finding.
    scores
        (N, F), NaN = row left out for that finding.
    auprc
        False for ``auc`` alone, in little more than half the time.
    """
    rankings = [rank(labels[:, f], scores[:, f]) for f in range(labels.shape[1])]
    names = RANKING if auprc else RANKING[:1]

    def statistic(weights: Weights) -> Mapping[str, Floats]:
        areas = np.full((len(names), len(weights), len(rankings)), np.nan)
        for f, one in enumerate(rankings):
            if one.both_classes:
                areas[:, :, f] = weighted_areas(one, weights) if auprc else weighted_auc(one, weights)
        return dict(zip(names, areas, strict=True))

    return statistic


def decisions(labels: Floats, calls: Floats) -> Statistic:
    """Give ``sensitivity``, ``specificity``, ``ppv``, ``f1`` and ``mcc``; shapes as in `ranking`.

    Parameters
    ----------
    labels
        (N, F) 1, 0, anything else = row left out for that finding.
    calls
        (N, F) 1 = called present, 0 = called absent, NaN = row left out.

    Notes
    -----
    All are NaN where one class is empty; ``ppv`` also where nothing is called present. ``mcc`` is 0 where
    everything is called alike, as in scikit-learn.
    """
    pairs = ((1, 1), (1, 0), (0, 1), (0, 0))
    masks = [(labels == truth) & (calls == call) for truth, call in pairs]

    def statistic(weights: Weights) -> Mapping[str, Floats]:
        table = tally(weights, masks)
        return {name: form(*table) for name, form in _FORMS.items()}

    return statistic


def probabilities(labels: Floats, predicted: Floats, bins: int = ECE_BINS) -> Statistic:
    """Give ``brier`` and ``ece``; NaN where one class is empty. Shapes as in `ranking`.

    The expected calibration error is the mean of |mean probability - share of positives| over bins of equal
    mass, weighted by their size (Naeini, 2015). Bins are cut once, at quantiles of all rows, and stay the
    same in each weighting; equal probabilities share a bin.
    """
    known = ((labels == 0) | (labels == 1)) & np.isfinite(predicted)
    positive = known & (labels == 1)
    truth, values = np.where(positive, 1.0, 0.0), np.where(known, predicted, 0.0)
    places = equal_mass(values, known, bins)
    base = [positive, known, np.where(known, (values - truth) ** 2, 0)]
    # In each bin: probability minus label, summed.
    parts = [np.where(places == number, values - truth, 0) for number in range(bins)]

    def statistic(weights: Weights) -> Mapping[str, Floats]:
        found, total, squares = tally(weights, base)
        total = np.where((found > 0) & (found < total), total, 0)
        gaps = sum((np.abs(part) for part in tally(weights, parts)), np.zeros_like(total))
        return {"brier": ratio(squares, total), "ece": ratio(gaps, total)}

    return statistic


def tally(weights: Weights, columns: list[Floats] | list[NDArray[np.bool_]]) -> list[Floats]:
    """Sum each of K columns (N, F) under each weighting (R, N): K arrays (R, F)."""
    each = np.asarray(weights, dtype=np.float64)
    return [each @ np.asarray(column, dtype=np.float64) for column in columns]


def together(*statistics: Statistic) -> Statistic:
    """Several statistics as one."""

    def statistic(weights: Weights) -> Mapping[str, Floats]:
        return {name: values for one in statistics for name, values in one(weights).items()}

    return statistic


def within(rows: NDArray[np.bool_], statistic: Statistic) -> Statistic:
    """A statistic of some rows (N,) as one of all."""
    places = np.flatnonzero(rows)

    def inside(weights: Weights) -> Mapping[str, Floats]:
        return statistic(np.take(weights, places, axis=1))

    return inside


def equal_mass(values: Floats, known: NDArray[np.bool_], bins: int) -> NDArray[np.intp]:
    """Number the bin of each value (N, F) by the quantiles of its column's known ones; -1 for the others."""
    places = np.full(values.shape, -1, dtype=np.intp)
    shares = np.linspace(0, 1, bins + 1)[1:-1]
    for f in range(values.shape[1]):
        rows = known[:, f]
        if rows.any():
            places[rows, f] = np.searchsorted(np.quantile(values[rows, f], shares), values[rows, f])
    return places


def _sensitivity(hits: Floats, misses: Floats, alarms: Floats, passes: Floats) -> Floats:
    return ratio(np.where(alarms + passes > 0, hits, np.nan), hits + misses)


def _specificity(hits: Floats, misses: Floats, alarms: Floats, passes: Floats) -> Floats:
    return ratio(np.where(hits + misses > 0, passes, np.nan), alarms + passes)


def _ppv(hits: Floats, misses: Floats, alarms: Floats, passes: Floats) -> Floats:
    return ratio(_both(hits, hits, misses, alarms, passes), hits + alarms)


def _f1(hits: Floats, misses: Floats, alarms: Floats, passes: Floats) -> Floats:
    return ratio(_both(2 * hits, hits, misses, alarms, passes), 2 * hits + misses + alarms)


def _mcc(hits: Floats, misses: Floats, alarms: Floats, passes: Floats) -> Floats:
    spread = (hits + misses) * (alarms + passes) * (hits + alarms) * (misses + passes)
    value = np.where(spread > 0, ratio(hits * passes - alarms * misses, np.sqrt(spread)), 0.0)
    return _both(value, hits, misses, alarms, passes)


def _both(values: Floats, hits: Floats, misses: Floats, alarms: Floats, passes: Floats) -> Floats:
    """NaN where one class is empty."""
    return np.where((hits + misses > 0) & (alarms + passes > 0), values, np.nan)


_FORMS = {"sensitivity": _sensitivity, "specificity": _specificity, "ppv": _ppv, "f1": _f1, "mcc": _mcc}
