"""Give metrics standard errors by patient that do not collapse when a class has few patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tier_cli.metrics.ranking import Floats, Indices, Ranking

# The variance seen among k patients counts k, and the one that a model expects counts this much.
PRIOR_PATIENTS = 10


@dataclass(frozen=True)
class Basis:
    """What the interval of a metric between 0 and 1 rests on.

    Parameters
    ----------
    patients
        (F,) patients of the smaller class, or those in the denominator.
    influence
        (P, F) by how much each patient moves the metric; the squares of a column sum to its variance. None
        if the variance is that of resampling.
    share
        Whether the metric is a share of patients or images, such as sensitivity.
    """

    patients: Floats
    influence: NDArray[np.float32] | None = None
    share: bool = False


def patients_with(masks: Sequence[NDArray[np.bool_]], row_patient: Indices) -> Floats:
    """Count the patients with at least one row in a mask (N, F); of several masks, the fewest.

    Examples
    --------
    >>> mask = np.array([[True], [True], [False]])
    >>> patients_with([mask], np.array([0, 0, 1])).tolist()
    [1.0]
    """
    fewest = np.full(masks[0].shape[1], np.inf)
    for mask in masks:
        for f in range(mask.shape[1]):
            fewest[f] = min(fewest[f], np.unique(row_patient[mask[:, f]]).size)
    return fewest


def auc_basis(rankings: Sequence[Ranking], row_patient: Indices, count: int) -> Basis:
    """Return the influences of the patients on the AUC (DeLong, 1988; by patient: Obuchowski, 1997).

    With k patients in the smaller class, the variance is the weighted mean of the one seen (weight k) and
    the one of two normal distributions with equal spread and the same AUC (weight `PRIOR_PATIENTS`). Without
    the latter, an AUC near 1 with few positives would have hardly any variance.

    Parameters
    ----------
    rankings
        One per finding.
    row_patient
        (N,) the number of each row's patient.
    count
        P, the number of patients.

    Examples
    --------
    >>> from tier_cli.metrics.ranking import rank
    >>> basis = auc_basis([rank([1, 1, 0, 0], [0.9, 0.4, 0.5, 0.1])], np.arange(4), 4)
    >>> basis.patients.tolist(), round(float((basis.influence ** 2).sum() ** 0.5), 2)
    ([2.0], 0.29)
    """
    influence = np.zeros((count, len(rankings)), dtype=np.float32)
    fewest = np.zeros(len(rankings))
    for f, ranking in enumerate(rankings):
        if ranking.both_classes:
            influence[:, f], fewest[f] = _of_finding(ranking, row_patient, count)
    return Basis(fewest, influence)


def _of_finding(ranking: Ranking, row_patient: Indices, count: int) -> tuple[Floats, float]:
    positives, negatives = ranking.positives.size, ranking.negatives.size
    # The share of the other class that each row is ranked correctly against; ties count one half.
    above = (ranking.below + ranking.up_to) / 2 / negatives
    order = np.arange(negatives)
    passed = [np.searchsorted(ends, order, side="right") for ends in (ranking.below, ranking.up_to)]
    under = 1 - (passed[0] + passed[1]) / 2 / positives
    area = float(above.mean())
    parts, sizes = [], []
    for rows, shares in ((ranking.positives, above), (ranking.negatives, under)):
        people = row_patient[rows]
        size = np.unique(people).size
        moved = np.bincount(people, (shares - area) / rows.size, count)
        parts.append(moved * np.sqrt(size / max(size - 1, 1)))
        sizes.append(size)
    total, fewest = parts[0] + parts[1], min(sizes)
    seen = float((total**2).sum())
    expected = _normal_variance(float(inside(area, fewest)), *sizes)
    error = np.sqrt((fewest * seen + PRIOR_PATIENTS * expected) / (fewest + PRIOR_PATIENTS))
    if seen > 0:
        return total * (error / np.sqrt(seen)), float(fewest)
    # All rows are ranked alike: spread the expected variance over the patients of the smaller class.
    rows = ranking.positives if sizes[0] <= sizes[1] else ranking.negatives
    people = np.unique(row_patient[rows])
    total[people] = (
        np.where(np.arange(fewest) % 2, -1, 1) * np.sign(area - 0.5 or 1) * error / np.sqrt(fewest)
    )
    return total, float(fewest)


def _normal_variance(area: float, positives: int, negatives: int) -> float:
    """Return the variance of an AUC if the scores of both classes are normal with equal spread."""
    from scipy.special import ndtri, owens_t

    # The chance that a positive beats two negatives: two normal variables that correlate by one half.
    twice = area - 2 * float(owens_t(ndtri(area), 1 / np.sqrt(3)))
    spread = (positives + negatives - 2) * (twice - area**2)
    return (area * (1 - area) + spread) / (positives * negatives)


def inside(values: Floats | float, patients: Floats | float) -> Floats:
    """Move 0 and 1 inside by half a patient, so that they have a logit.

    Examples
    --------
    >>> inside(np.array([1.0, 0.5]), np.array([9.0, 9.0])).tolist()
    [0.95, 0.5]
    """
    edge = 0.5 / (np.asarray(patients, dtype=np.float64) + 1)
    return np.clip(values, edge, 1 - edge)


def bounded_error(points: Floats, variances: Floats, patients: Floats, share: bool) -> Floats:
    """Return standard errors (F,) of metrics between 0 and 1 from their variances over resamplings.

    A share varies at least as much as one of independent patients. Other metrics mix both variances, as in
    `auc_basis`.

    Parameters
    ----------
    points, variances, patients
        (F,) the metrics, their variances over resamplings, and the patients behind them.
    share
        As in `Basis`.

    Examples
    --------
    Ten of ten patients: resampling sees no variance at all.

    >>> bounded_error(np.array([1.0]), np.array([0.0]), np.array([10.0]), True).round(3).tolist()
    [0.066]
    """
    near = inside(points, patients)
    expected = near * (1 - near) / np.maximum(patients, 1)
    if share:
        return np.sqrt(np.maximum(variances, expected))
    return np.sqrt((patients * variances + PRIOR_PATIENTS * expected) / (patients + PRIOR_PATIENTS))


def logit_interval(points: Floats, errors: Floats, patients: Floats, level: float | Floats) -> Floats:
    """Return intervals (F, 2) that are symmetric on the logit scale and hold the point.

    Examples
    --------
    >>> logit_interval(np.array([0.9]), np.array([0.05]), np.array([50.0]), 0.95).round(2).tolist()
    [[0.75, 0.96]]
    """
    from scipy.special import expit, logit

    near = inside(points, patients)
    middle, half = logit(near), normal_quantile(level) * errors / (near * (1 - near))
    low = np.where(points == 0, 0.0, np.minimum(expit(middle - half), points))
    high = np.where(points == 1, 1.0, np.maximum(expit(middle + half), points))
    return np.stack([low, high], axis=1)


def share_interval(points: Floats, errors: Floats, patients: Floats, level: float | Floats) -> Floats:
    """Return Wilson's intervals (F, 2) of shares, for as many independent patients as the errors amount to.

    Examples
    --------
    >>> share_interval(np.array([1.0]), np.array([0.066]), np.array([10.0]), 0.95).round(2).tolist()
    [[0.72, 1.0]]
    """
    z = normal_quantile(level)
    near = inside(points, patients)
    effective = np.divide(near * (1 - near), errors**2, out=np.ones_like(errors), where=errors > 0)
    size = np.minimum(np.maximum(patients, 1), effective)
    middle = (points + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * np.sqrt(points * (1 - points) / size + z**2 / (4 * size**2))
    low, high = np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
    return np.stack([np.minimum(low, points), np.maximum(high, points)], axis=1)


def ratio_interval(above: Floats, below: Floats) -> Floats:
    """Return intervals (F, 2) of ratios of two independent numbers from theirs (Donner & Zou, 2012).

    Parameters
    ----------
    above, below
        (F, 3) value, low and high of the numerator and of the denominator, none negative.

    Returns
    -------
    (F, 2); the high bound is infinite where the denominator may be 0.

    Examples
    --------
    None of ten patients with the finding is missed, and 40 of 50 without it are called absent:

    >>> ratio_interval(np.array([[0.0, 0.0, 0.28]]), np.array([[0.8, 0.67, 0.89]])).round(2).tolist()
    [[0.0, 0.35]]
    """
    (p, p_low, p_high), (q, q_low, q_high) = above.T, below.T
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = [
            np.maximum((p * q) ** 2 - one * other * (2 * p - one) * (2 * q - other), 0)
            for one, other in ((p_low, q_high), (p_high, q_low))
        ]
        low = (p * q - np.sqrt(inner[0])) / (q_high * (2 * q - q_high))
        high = (p * q + np.sqrt(inner[1])) / (q_low * (2 * q - q_low))
    known = np.isfinite(np.hstack([above, below])).all(axis=1, keepdims=True)
    high = np.where((q_low > 0) & np.isfinite(high), high, np.inf)
    bounds = np.stack([np.maximum(np.nan_to_num(low), 0), high], axis=1)
    return np.where(known, bounds, np.nan)


def difference_interval(first: Floats, second: Floats, correlations: Floats) -> Floats:
    """Return intervals (F, 2) of differences from those of both sides (Newcombe, 1998; Zou & Donner, 2008).

    Parameters
    ----------
    first, second
        (F, 3) value, low and high of the two sides.
    correlations
        (F,) of their estimates.

    Examples
    --------
    Ten of ten minus eight of ten, on independent patients:

    >>> found = difference_interval(np.array([[1, 0.72, 1]]), np.array([[0.8, 0.49, 0.94]]), np.array([0.0]))
    >>> found.round(2).tolist()
    [[-0.11, 0.51]]
    """
    (p, p_low, p_high), (q, q_low, q_high) = first.T, second.T
    halves = [
        np.sqrt(np.maximum(one**2 - 2 * correlations * one * other + other**2, 0))
        for one, other in ((p - p_low, q_high - q), (p_high - p, q - q_low))
    ]
    return np.stack([p - q - halves[0], p - q + halves[1]], axis=1)


def normal_quantile(level: float | Floats) -> Floats:
    """Return how many standard errors an interval reaches to either side.

    Examples
    --------
    >>> round(float(normal_quantile(0.95)), 2)
    1.96
    """
    from scipy.special import ndtri

    return np.asarray(ndtri((1 + level) / 2), dtype=np.float64)
