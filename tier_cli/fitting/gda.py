"""Fit a Gaussian discriminant analysis of image embeddings, which needs no training loop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def fit_gda(images: Floats, labels: Floats) -> tuple[Floats, float]:
    """Fit one finding: two Gaussians with a shared covariance, whose log-likelihood ratio is linear.

    Method: Wang et al., "A hard-to-beat baseline for training-free CLIP-based adaptation", ICLR 2024, for the
    two classes of one finding, with equal priors. The inverse covariance is the ridge estimate used there,
    D ((N - 1) S + tr(S) I)^-1 (Kubokawa & Srivastava 2008), which exists with fewer images than dimensions.

    Parameters
    ----------
    images
        Unit embeddings (N, D), N > 2.
    labels
        (N,) 1 = present, 0 = absent; both must occur.

    Returns
    -------
    w (D,) and b; the finding is more likely where image . w + b is larger.

    Raises
    ------
    ValueError
        If there is only one class.
    """
    present = labels == 1
    if not 0 < present.sum() < len(labels):
        raise ValueError("Gaussian discriminant analysis needs both positives and negatives")
    mean_present, mean_absent = images[present].mean(axis=0), images[~present].mean(axis=0)
    residuals = np.where(present[:, None], images - mean_present, images - mean_absent)
    count, size = images.shape
    covariance = residuals.T @ residuals / (count - 2)
    ridge = np.trace(covariance) * np.eye(size)
    weights: Floats = size * np.linalg.solve((count - 1) * covariance + ridge, mean_present - mean_absent)
    return weights, float(-0.5 * (mean_present + mean_absent) @ weights)


def fit_scaled_gda(images: Floats, labels: Floats, scores: Floats) -> tuple[Floats, float]:
    """Fit one finding as `fit_gda` does, and scale it to the spread of the checkpoint's own scores (N,).

    Equal spreads make the two scores mixable.
    """
    weights, bias = fit_gda(images, labels)
    spread = float((images @ weights).std())
    factor = float(scores.std()) / spread if spread > 0 else 0.0
    return weights * factor, bias * factor
