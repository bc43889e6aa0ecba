"""From an image's embedding and the findings' vectors to scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import CheckpointError

if TYPE_CHECKING:
    from tier_cli.findings.vectors import FindingVectors

SCORINGS = ("cosine_difference",)


def score(
    pooled: NDArray[np.floating], vectors: FindingVectors, scoring: str = "cosine_difference"
) -> NDArray[np.float64]:
    """Score images for findings.

    Parameters
    ----------
    pooled
        Global image embeddings (N, D), of any length.
    vectors
        The findings' unit vectors, (F, D) each.
    scoring
        ``cosine_difference``: cos(image, positive) - cos(image, negative), in [-2, 2] (Palepu & Beam 2023).

    Returns
    -------
    (N, F). Not finite where an embedding is zero or not finite.

    Raises
    ------
    CheckpointError
        Where the scoring is unknown here.
    """
    check_scoring(scoring)
    images = np.asarray(pooled, dtype=np.float64)
    directions = vectors.positive.astype(np.float64) - vectors.negative
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        # Dividing last: (image / |image|) . direction, with one product instead of two.
        scores: NDArray[np.float64] = (images @ directions.T) / np.linalg.norm(images, axis=1, keepdims=True)
    return scores


def check_scoring(scoring: str) -> None:
    """Refuse a checkpoint whose rule of scoring is unknown here, before any image is read."""
    if scoring not in SCORINGS:
        raise CheckpointError(
            f"the scoring '{scoring}' is unknown",
            where="config.json",
            remedy=f"known are: {', '.join(SCORINGS)}; a newer release may know it",
        )
