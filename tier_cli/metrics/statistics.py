"""Measure rankings, calls and probabilities as functions of row weights, so that any resampling works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tier_cli.metrics.ranking import Floats, Indices, rank, ratio, weighted_areas, weighted_auc
from tier_cli.metrics.standard_errors import Basis, auc_basis, patients_with

Weights = NDArray[np.generic]
# Maps weights (R, N) to each metric's values (R, F); NaN where a weighting cannot be measured.
Statistic = Callable[[Weights], Mapping[str, Floats]]

# Maps the patient of each row (N,), and the number of patients, to what the intervals rest on.
Bases = Callable[[Indices, int], Mapping[str, Basis]]

RANKING = ("auc", "auprc")
DECISIONS = ("sensitivity", "specificity", "ppv", "npv", "lr_positive", "lr_negative", "f1", "mcc")
# Predictive values at a prevalence follow from sensitivity and specificity; they are not resampled.
AT_PREVALENCE = ("ppv_at_prevalence", "npv_at_prevalence")
# With thresholds chosen anew in every resampling of the split that they were chosen on.
RECHOSEN = ("threshold_rechosen", "sensitivity_rechosen", "specificity_rechosen")
RECALIBRATION = ("calibration_slope", "calibration_intercept")
# The expected calibration error of calibrated probabilities is simulated, not resampled.
ECE_IF_CALIBRATED = "ece_if_calibrated"
PROBABILITIES = ("brier", "ece", ECE_IF_CALIBRATED, *RECALIBRATION)
METRICS = (*RANKING, *DECISIONS, *AT_PREVALENCE, *RECHOSEN, *PROBABILITIES)
ECE_BINS = 15
SIMULATIONS = 500
_DRAWS = 2_000_000
_NEAREST = 1e-6
_MOST_STEPS = 50


@dataclass(frozen=True)
class Bounded:
    """A statistic some of whose metrics lie between 0 and 1, so that their intervals need a logit.

    Parameters
    ----------
    measure
        The statistic.
    bases
        What the intervals of these metrics rest on.
    """

    measure: Statistic
    bases: Bases

    def __call__(self, weights: Weights) -> Mapping[str, Floats]:
        """Return the metrics of each weighting."""
        return self.measure(weights)


def basis_of(statistic: Statistic, row_patient: Indices, count: int) -> Mapping[str, Basis]:
    """Return what the intervals of the metrics between 0 and 1 rest on; nothing for other statistics.

    Parameters
    ----------
    statistic
        Of N rows.
    row_patient, count
        (N,) the number of each row's patient, and the number of patients.
    """
    return statistic.bases(row_patient, count) if isinstance(statistic, Bounded) else {}


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

    def bases(row_patient: Indices, count: int) -> Mapping[str, Basis]:
        basis = auc_basis(rankings, row_patient, count)
        return {"auc": basis, "auprc": Basis(basis.patients)} if auprc else {"auc": basis}

    return Bounded(statistic, bases)


def decisions(labels: Floats, calls: Floats) -> Statistic:
    """Return a statistic that measures calls: the metrics of `DECISIONS`.

    Parameters
    ----------
    labels
        (N, F) 1 = present, 0 = absent; any other value leaves the row out for that finding.
    calls
        (N, F) 1 = called present, 0 = called absent; NaN leaves the row out.

    Notes
    -----
    All are NaN where a class is empty; ``ppv`` also where nothing is called present, ``npv`` where nothing is
    called absent, and a likelihood ratio where it would be infinite. ``mcc`` is 0 where all rows are called
    alike, as in scikit-learn.

    Examples
    --------
    >>> labels = np.array([[1.0], [1.0], [0.0], [0.0]])
    >>> calls = np.array([[1.0], [0.0], [0.0], [0.0]])
    >>> measured = decisions(labels, calls)(np.ones((1, 4)))
    >>> {name: round(float(values[0, 0]), 3) for name, values in measured.items()}
    {'sensitivity': 0.5, 'specificity': 1.0, 'ppv': 1.0, 'npv': 0.667, 'lr_positive': nan, \
'lr_negative': 0.5, 'f1': 0.667, 'mcc': 0.577}
    """
    pairs = ((1, 1), (1, 0), (0, 1), (0, 0))
    masks = [(labels == truth) & (calls == call) for truth, call in pairs]

    def statistic(weights: Weights) -> Mapping[str, Floats]:
        table = tally(weights, masks)
        return {name: formula(*table) for name, formula in _FORMULAS.items()}

    def bases(row_patient: Indices, count: int) -> Mapping[str, Basis]:
        tp, fn, fp, tn = masks
        behind = {"sensitivity": tp | fn, "specificity": fp | tn, "ppv": tp | fp, "npv": fn | tn}
        shares = {
            name: Basis(patients_with([mask], row_patient), share=True) for name, mask in behind.items()
        }
        return {**shares, "f1": Basis(shares["sensitivity"].patients)}

    return Bounded(statistic, bases)


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


def recalibration(labels: Floats, predicted: Floats) -> Statistic:
    """Return a statistic that measures ``calibration_slope`` and ``calibration_intercept``.

    The slope is b in logit(share) = a + b logit(probability), fitted by maximum likelihood (Cox, 1958); below
    1, probabilities are too extreme. The intercept is a with b = 1; below 0, they are too high on average
    (Van Calster et al., 2019). Both are NaN where they are not finite or a class is empty. A weighting takes
    one Newton step from the fit on all rows. Probabilities are kept `_NEAREST` away from 0 and 1.

    Parameters
    ----------
    labels
        (N, F) 1 = present, 0 = absent; any other value leaves the row out for that finding.
    predicted
        (N, F) probabilities; NaN leaves the row out.

    Examples
    --------
    0.2 and 0.8 are predicted, but the shares are 0.4 and 0.6:

    >>> labels = np.array([[1.0], [1], [0], [0], [0], [1], [1], [1], [0], [0]])
    >>> measured = recalibration(labels, np.repeat([0.2, 0.8], 5)[:, None])(np.ones((1, 10)))
    >>> {name: abs(round(float(values[0, 0]), 3)) for name, values in measured.items()}
    {'calibration_slope': 0.292, 'calibration_intercept': 0.0}
    """
    known = ((labels == 0) | (labels == 1)) & np.isfinite(predicted)
    truth = np.where(known & (labels == 1), 1.0, 0.0)
    near = np.clip(np.where(known, predicted, 0.5), _NEAREST, 1 - _NEAREST)
    logits = np.log(near / (1 - near))
    fits = [_recalibrate(truth[known[:, f], f], logits[known[:, f], f]) for f in range(labels.shape[1])]
    slope, constant, intercept = np.array(fits, dtype=np.float64).reshape(-1, 3).T
    fitted = expit(np.nan_to_num(constant) + np.nan_to_num(slope) * logits)
    shifted = expit(np.nan_to_num(intercept) + logits)
    surplus, spread = np.where(known, truth - fitted, 0), np.where(known, fitted * (1 - fitted), 0)
    columns = [known & (truth == 1), known, surplus, surplus * logits, spread, spread * logits]
    columns += [spread * logits**2, np.where(known, truth - shifted, 0)]
    columns += [np.where(known, shifted * (1 - shifted), 0)]

    def statistic(weights: Weights) -> Mapping[str, Floats]:
        positives, total, *sums = tally(weights, columns)
        both = (positives > 0) & (positives < total)
        first, second, h0, h1, h2, third, h3 = sums
        area = h0 * h2 - h1**2
        step = ratio(h0 * second - h1 * first, np.where(both, area, 0))
        return {
            "calibration_slope": slope + step,
            "calibration_intercept": intercept + ratio(third, np.where(both, h3, 0)),
        }

    return statistic


def _recalibrate(truth: Floats, logits: Floats) -> tuple[float, float, float]:
    """Return the slope, the constant beside it, and the intercept at a slope of 1; NaN if not finite."""
    if not 0 < truth.sum() < truth.size:
        return np.nan, np.nan, np.nan
    intercept = _newton(truth, np.ones((truth.size, 1)), logits)
    if np.ptp(logits) == 0:
        return np.nan, np.nan, float(intercept[0])
    both = _newton(truth, np.stack([np.ones_like(logits), logits], axis=1), np.zeros_like(logits))
    return float(both[1]), float(both[0]), float(intercept[0])


def _newton(truth: Floats, design: Floats, offset: Floats) -> Floats:
    """Fit a logistic regression (N, K) with an offset; NaN if the classes are separated."""
    beta = np.zeros(design.shape[1])
    loss = np.inf
    for _ in range(_MOST_STEPS):
        logits = design @ beta + offset
        fitted = expit(logits)
        gradient = design.T @ (truth - fitted)
        if np.abs(gradient).max() < 1e-9 * truth.size:
            # Separated classes have no finite fit: each row is then predicted almost surely.
            separated = design.shape[1] > 1 and bool(np.all(np.abs(truth - fitted) < 1e-6))
            return np.full_like(beta, np.nan) if separated else beta
        curvature = (design.T * (fitted * (1 - fitted))) @ design
        try:
            step = np.linalg.solve(curvature, gradient)
        except np.linalg.LinAlgError:
            break
        size, loss = 1.0, _loss(truth, logits)
        while _loss(truth, design @ (beta + size * step) + offset) > loss and size > 1e-6:
            size /= 2
        beta = beta + size * step
    return np.full_like(beta, np.nan)


def _loss(truth: Floats, logits: Floats) -> float:
    return float((np.logaddexp(0, logits) - truth * logits).sum())


def expit(logits: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) without overflow.

    Examples
    --------
    >>> expit(np.array([0.0, -1000.0])).tolist()
    [0.5, 0.0]
    """
    return np.exp(-np.logaddexp(0, -logits))


def ece_if_calibrated(predicted: Floats, known: NDArray[np.bool_], *, seed: int = 0) -> Floats:
    """Return the ECE that these probabilities would have if they were calibrated, by simulation.

    Labels are drawn from the probabilities `SIMULATIONS` times, all rows independently, and each draw's ECE
    is measured over the bins of `probabilities`. Because an ECE averages absolute differences, it is above 0
    even for perfectly calibrated probabilities, the more so the fewer the rows.

    Parameters
    ----------
    predicted, known
        (N, F) probabilities, and which of them count.
    seed
        Seed of the draws.

    Returns
    -------
    (S, F) one row per draw; NaN for a finding without probabilities.

    Examples
    --------
    >>> predicted = np.full((100, 1), 0.5)
    >>> drawn = ece_if_calibrated(predicted, np.ones((100, 1), dtype=bool))
    >>> round(float(drawn.mean()), 2)
    0.04
    """
    found = np.full((SIMULATIONS, predicted.shape[1]), np.nan)
    bins = equal_mass(np.where(known, predicted, 0.0), known, ECE_BINS)
    for f in range(predicted.shape[1]):
        rows = np.flatnonzero(known[:, f])
        if not rows.size:
            continue
        rows = rows[np.argsort(bins[rows, f], kind="stable")]
        starts = np.flatnonzero(np.diff(bins[rows, f], prepend=-1))
        values = predicted[rows, f]
        sums = np.add.reduceat(values, starts)
        generator = np.random.default_rng([seed, f])
        chunk = max(1, _DRAWS // rows.size)
        for first in range(0, SIMULATIONS, chunk):
            count = min(chunk, SIMULATIONS - first)
            drawn = generator.random((count, rows.size), dtype=np.float32) < values
            hits = np.add.reduceat(drawn, starts, axis=1, dtype=np.float64)
            found[first : first + count, f] = np.abs(hits - sums).sum(axis=1) / rows.size
    return found


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

    def bases(row_patient: Indices, count: int) -> Mapping[str, Basis]:
        return {k: v for one in statistics for k, v in basis_of(one, row_patient, count).items()}

    return Bounded(statistic, bases)


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

    def bases(row_patient: Indices, count: int) -> Mapping[str, Basis]:
        return basis_of(statistic, row_patient[places], count)

    return Bounded(inside, bases)


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


def _npv(tp: Floats, fn: Floats, fp: Floats, tn: Floats) -> Floats:
    return ratio(_if_both_classes(tn, tp, fn, fp, tn), fn + tn)


def _lr_positive(tp: Floats, fn: Floats, fp: Floats, tn: Floats) -> Floats:
    return ratio(_sensitivity(tp, fn, fp, tn), 1 - _specificity(tp, fn, fp, tn))


def _lr_negative(tp: Floats, fn: Floats, fp: Floats, tn: Floats) -> Floats:
    return ratio(1 - _sensitivity(tp, fn, fp, tn), _specificity(tp, fn, fp, tn))


def _f1(tp: Floats, fn: Floats, fp: Floats, tn: Floats) -> Floats:
    return ratio(_if_both_classes(2 * tp, tp, fn, fp, tn), 2 * tp + fn + fp)


def _mcc(tp: Floats, fn: Floats, fp: Floats, tn: Floats) -> Floats:
    spread = (tp + fn) * (fp + tn) * (tp + fp) * (fn + tn)
    value = np.where(spread > 0, ratio(tp * tn - fp * fn, np.sqrt(spread)), 0.0)
    return _if_both_classes(value, tp, fn, fp, tn)


def _if_both_classes(values: Floats, tp: Floats, fn: Floats, fp: Floats, tn: Floats) -> Floats:
    """Replace values by NaN where a class is empty."""
    return np.where((tp + fn > 0) & (fp + tn > 0), values, np.nan)


_FORMULAS = {
    "sensitivity": _sensitivity,
    "specificity": _specificity,
    "ppv": _ppv,
    "npv": _npv,
    "lr_positive": _lr_positive,
    "lr_negative": _lr_negative,
    "f1": _f1,
    "mcc": _mcc,
}
