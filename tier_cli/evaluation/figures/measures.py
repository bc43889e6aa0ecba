"""Measure how similarities of patches are spread: arrays in, numbers out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Similarities of this size and more count as high.
HIGH = 0.1


def entropy(similarities: Floats, axis: int) -> Floats:
    """Return the entropy in nats of the softmax of similarities along an axis.

    Source: Palepu & Beam, MLHC 2023, section 3: over patches it is the patch entropy of each token, over
    tokens the token entropy of each patch. No temperature.

    Examples
    --------
    >>> entropy(np.zeros((1, 49)), axis=1).round(4).tolist()
    [3.8918]
    """
    highest = similarities.max(axis=axis, keepdims=True)
    weights = np.exp(similarities - highest)
    total = weights.sum(axis=axis)
    found: Floats = np.log(total) - (weights * (similarities - highest)).sum(axis=axis) / total
    return found


def softmax(similarities: Floats) -> Floats:
    """Return the weights (Q, P), whose entropy is the patch entropy: each row has the sum 1."""
    weights = np.exp(similarities - similarities.max(axis=1, keepdims=True))
    found: Floats = weights / weights.sum(axis=1, keepdims=True)
    return found


def hoyer(similarities: Floats) -> Floats:
    """Return Hoyer's sparsity of each row (Q, P): 0 = all patches alike, 1 = one patch alone.

    Source: Hoyer, "Non-negative Matrix Factorization with Sparseness Constraints", JMLR 2004, section 3.1.
    A row of zeros, for which it is not defined, gives NaN.
    """
    sizes = np.abs(similarities)
    root = math.sqrt(similarities.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = sizes.sum(axis=1) / np.sqrt((sizes**2).sum(axis=1))
    found: Floats = np.clip((root - ratio) / max(root - 1, 1e-12), 0, 1)
    return found


def above_median(similarities: Floats) -> Floats:
    """Return by how much each similarity (Q, P) exceeds the median of its row, and 0 for the others.

    A penalty on the entropy pushes patches that do not belong to a phrase towards -1, not towards 0. Their
    size then says nothing about where the phrase looks; what stands out above the rest does.
    """
    found: Floats = np.maximum(similarities - np.median(similarities, axis=1, keepdims=True), 0)
    return found


def share_above(similarities: Floats) -> Floats:
    """Return the share of each row (Q, P) whose size exceeds `HIGH`."""
    found: Floats = (np.abs(similarities) > HIGH).mean(axis=1)
    return found


def profile(similarities: Floats) -> Floats:
    """Sort each row (Q, P), the most similar patch first."""
    found: Floats = -np.sort(-similarities, axis=1)
    return found


def relative_importance(similarities: Floats) -> Floats:
    """Divide each row (Q, P) by its sum and sort it, the most important patch first.

    Source: Palepu & Beam, MLHC 2023, figures 6 and 7. A row whose sum is not above 0 gives NaN:
    dividing by it would make the least similar patch the most important one.
    """
    totals = similarities.sum(axis=1, keepdims=True)
    return profile(np.divide(similarities, totals, out=np.full_like(similarities, np.nan), where=totals > 0))
