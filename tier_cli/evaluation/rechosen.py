"""Add the uncertainty of thresholds: choose them anew in every resampling of the selection split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.metrics.bootstrap import Estimate, resamplings
from tier_cli.metrics.ranking import Floats, ratio
from tier_cli.metrics.statistics import RECHOSEN, Weights
from tier_cli.scoring.operating_points import choose_weighted, sums_to

if TYPE_CHECKING:
    from tier_cli.evaluation.measure import Resampling
    from tier_cli.evaluation.thresholds import ChosenOn
    from tier_cli.evaluation.truth import Labelled
    from tier_cli.evaluation.unit_scores import UnitScores

# Weights held at a time: more than usual, because each part sorts the scores of each finding.
_CELLS = 4_000_000


def rechosen(
    truth: Labelled, one: UnitScores, fixed: Mapping[str, Estimate], how: Resampling
) -> dict[str, Estimate]:
    """Estimate thresholds, sensitivity and specificity with thresholds chosen anew in each replicate.

    The patients of the selection split and the evaluated patients are resampled independently, because they
    are two samples. The values are those of the thresholds as chosen; only the intervals differ.

    Parameters
    ----------
    truth
        Labels of the evaluated units (U, F).
    one
        A score set.
    fixed
        The same estimates at fixed thresholds.
    how
        How patients are resampled.

    Returns
    -------
    The metrics of `RECHOSEN`; empty if it is not known what the thresholds were chosen on.
    """
    thresholds = one.thresholds
    if thresholds is None or thresholds.chosen_on is None:
        return {}
    drawn = _thresholds(thresholds.chosen_on, how)
    drawn[:, ~np.isfinite(thresholds.values)] = np.nan
    labels = np.where(np.isfinite(one.scores), truth.labels, np.nan)
    orders = np.argsort(one.scores, axis=0, kind="stable").T
    rates = np.full((2, *drawn.shape), np.nan)
    for first, weights in resamplings(truth.patients, how.replicates, how.seed, _CELLS):
        part, by_row = slice(first, first + len(weights)), _by_row(weights)
        for f, order in enumerate(orders):
            sorted_scores, sorted_labels = one.scores[order, f], labels[order, f]
            rates[:, part, f] = _rates(order, sorted_labels, sorted_scores, by_row, drawn[part, f])
    estimates = (
        Estimate(thresholds.values, drawn),
        replace(fixed["sensitivity"], replicates=rates[0]),
        replace(fixed["specificity"], replicates=rates[1]),
    )
    return dict(zip(RECHOSEN, estimates, strict=True))


def _thresholds(chosen_on: ChosenOn, how: Resampling) -> Floats:
    """Choose thresholds (R, F) on resamplings of the selection split."""
    truth, scores = chosen_on.truth, chosen_on.scores
    drawn = np.full((how.replicates, len(truth.findings)), np.nan)
    # Another stream than that of the evaluated patients.
    for first, weights in resamplings(truth.patients, how.replicates, (how.seed, 1), _CELLS):
        by_row = _by_row(weights)
        for f in range(drawn.shape[1]):
            chosen = choose_weighted(truth.labels[:, f], scores[:, f], by_row, chosen_on.rule)
            drawn[first : first + len(weights), f] = chosen
    return drawn


def _by_row(weights: Weights) -> NDArray[np.float32]:
    return np.ascontiguousarray(weights.T, dtype=np.float32)


def _rates(
    order: NDArray[np.intp],
    labels: Floats,
    scores: Floats,
    weights: NDArray[np.float32],
    thresholds: Floats,
) -> tuple[Floats, Floats]:
    """Return sensitivity and specificity (R,) of one finding at the threshold of each replicate.

    Parameters
    ----------
    order
        (N,) row numbers, in ascending order of score.
    labels, scores
        (N,) in this order.
    weights
        (N, R) how often each row was drawn.
    thresholds
        (R,).
    """
    # How many of the lowest scores each replicate calls absent, and all of them.
    places = np.searchsorted(scores, thresholds, side="left")
    ends, numbers = np.unique(np.append(places, order.size), return_inverse=True)
    missed, passed = (sums_to(order, labels == label, ends, weights) for label in (1, 0))
    positives, negatives = missed[-1], passed[-1]
    known = np.isfinite(thresholds) & (positives > 0) & (negatives > 0)
    at = numbers[:-1], np.arange(thresholds.size)
    return (
        ratio(positives - missed[at], np.where(known, positives, 0)),
        ratio(passed[at], np.where(known, negatives, 0)),
    )
