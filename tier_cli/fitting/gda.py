"""Gaussian discriminant analysis of image embeddings: a classifier that needs no training loop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def fit_gda(images: Floats, labels: Floats) -> tuple[Floats, float]:
    """Fit one finding: two Gaussians of one covariance, whose log-likelihood ratio is linear.

    Method: Wang et al., "A hard-to-beat baseline for training-free CLIP-based adaptation", ICLR 2024, for the
    two classes of one finding, with equal priors. The inverse covariance is the ridge estimate used there,
    D ((N - 1) S + tr(S) I)^-1 (Kubokawa & Srivastava 2008), which exists with fewer images than dimensions.

    Parameters
    ----------
    images
        Unit embeddings (N, D), N > 2.
    labels
        (N,) 1 = present, 0 = absent, both there.

    Returns
    -------
    w (D,) and b: the finding is the likelier, the larger image . w + b.

    Raises
    ------
    ValueError
        One class only.
    """
    present = labels == 1
    if not 0 < present.sum() < len(labels):
        raise ValueError("two Gaussians need both positives and negatives")
    high, low = images[present].mean(axis=0), images[~present].mean(axis=0)
    rest = np.where(present[:, None], images - high, images - low)
    count, size = images.shape
    covariance = rest.T @ rest / (count - 2)
    ridge = np.trace(covariance) * np.eye(size)
    weights: Floats = size * np.linalg.solve((count - 1) * covariance + ridge, high - low)
    return weights, float(-0.5 * (high + low) @ weights)


def fit_like(images: Floats, labels: Floats, scores: Floats) -> tuple[Floats, float]:
    """Fit one finding and give its values the spread of the checkpoint's own scores (N,), to be mixed.

    Parameters, results and raises as in `fit_gda`.
    """
    weights, bias = fit_gda(images, labels)
    spread = float((images @ weights).std())
    factor = float(scores.std()) / spread if spread > 0 else 0.0
    return weights * factor, bias * factor
