"""Fit the curves that turn the scores of one finding into probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tier_cli.scoring.calibration import Curve, Isotonic, Platt

Floats = NDArray[np.float64]

METHODS = ("platt", "isotonic")
_MAX_STEPS = 100
_TOLERANCE = 1e-12


def fit_curve(method: str, labels: ArrayLike, scores: ArrayLike) -> Curve | None:
    """Fit the curve of one finding; None if the score does not rise with the finding.

    Parameters
    ----------
    method
        ``platt`` or ``isotonic``.
    labels
        (N,) 1 = present, 0 = absent; both must occur.
    scores
        (N,) finite.

    Raises
    ------
    ValueError
        If there is only one class, the lengths differ, or a score is not finite.
    """
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(
            f"labels {truth.shape} and scores {values.shape} must be finite and have the same length"
        )
    if not 0 < truth.sum() < len(truth):
        raise ValueError("a curve needs both positives and negatives")
    return {"platt": fit_platt, "isotonic": fit_isotonic}[method](truth, values)


def fit_platt(labels: Floats, scores: Floats) -> Platt | None:
    """Fit probability = 1 / (1 + exp(-(a score + b))) by maximum likelihood (Platt 1999).

    The targets are Platt's, (P + 1) / (P + 2) and 1 / (M + 2) for P positives and M negatives, so that even
    perfectly separated scores have a curve. Solved by Newton's method with step halving (Lin, Lin & Weng
    2007).

    Parameters
    ----------
    labels, scores
        (N,) as in `fit_curve`.
    """
    positives = labels.sum()
    negatives = len(labels) - positives
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # Standardised, so that the steps do not depend on the scale of a model's scores.
    centre, spread = float(scores.mean()), float(scores.std())
    if spread == 0:
        return None
    slope, offset = _newton((scores - centre) / spread, targets)
    a = slope / spread
    return Platt(a, offset - a * centre) if a > 0 else None


def _newton(x: Floats, targets: Floats) -> tuple[float, float]:
    design = np.stack([x, np.ones_like(x)])
    beta = np.array([0.0, np.log(targets.sum() / (len(targets) - targets.sum()))])
    loss = _loss(beta @ design, targets)
    for _ in range(_MAX_STEPS):
        probability = _expit(beta @ design)
        gradient = design @ (probability - targets)
        if np.abs(gradient).max() < _TOLERANCE * len(x):
            break
        curvature = (design * (probability * (1 - probability))) @ design.T
        step = np.linalg.solve(curvature + 1e-12 * np.eye(2), gradient)
        size = 1.0
        while (new_loss := _loss((beta - size * step) @ design, targets)) > loss and size > 1e-10:
            size /= 2
        beta, loss = beta - size * step, min(loss, new_loss)
    return float(beta[0]), float(beta[1])


def _loss(logits: Floats, targets: Floats) -> float:
    return float((np.logaddexp(0, logits) - targets * logits).sum())


def _expit(logits: Floats) -> Floats:
    return np.exp(-np.logaddexp(0, -logits))


def fit_isotonic(labels: Floats, scores: Floats) -> Isotonic | None:
    """Fit the non-decreasing steps closest to the labels (Zadrozny & Elkan 2002), with scikit-learn.

    Probabilities are kept between 1 / (N + 2) and (N + 1) / (N + 2), which N images cannot tell from 0 and 1.

    Parameters
    ----------
    labels, scores
        (N,) as in `fit_curve`.
    """
    model: Any = _isotonic_regression()
    model.fit(scores, labels)
    lowest = 1 / (len(labels) + 2)
    heights = np.clip(model.y_thresholds_, lowest, 1 - lowest)
    if heights[0] == heights[-1]:
        return None
    return Isotonic(tuple(model.X_thresholds_.tolist()), tuple(heights.tolist()))


def _isotonic_regression() -> Any:
    from sklearn.isotonic import IsotonicRegression

    return IsotonicRegression(out_of_bounds="clip")
