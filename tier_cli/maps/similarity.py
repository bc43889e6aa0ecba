"""Compare the patches of an image with findings, texts and tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.scoring.score import uses_negatives

if TYPE_CHECKING:
    from tier_cli.findings.vectors import FindingVectors
    from tier_cli.maps.patch_grid import PatchGrid

Floats = NDArray[np.float64]

# What a map shows, by the name of its similarity.
SIMILARITIES = {
    "difference": "cosine with the finding's positive vector minus cosine with its negative vector",
    "positive": "cosine with the finding's positive vector",
    "phrase": "cosine with the text",
}


@dataclass(frozen=True, eq=False)
class PatchMap:
    """The patches of one image and where they lie.

    Parameters
    ----------
    patches
        float32 (P, D), row by row, not L2-normalised.
    grid
        Where they lie, P in all.
    """

    patches: NDArray[np.float32]
    grid: PatchGrid

    def similarities(self, directions: NDArray[np.floating]) -> Floats:
        """Compare every patch with directions (T, D), as `similarities` does; return (T, h, w)."""
        found = similarities(self.patches, directions)
        return found.reshape(len(found), self.grid.rows, self.grid.columns)


def similarity_of(scoring: str) -> str:
    """Return the key of `SIMILARITIES` that maps of findings show under a scoring rule."""
    return "difference" if uses_negatives(scoring) else "positive"


def finding_directions(vectors: FindingVectors, scoring: str) -> Floats:
    """Return the directions (F, D) that patches are compared with under a scoring rule.

    A patch's cosine with the positive vector minus that with the negative vector is its product with the
    difference of both, so that a map is on the scale of the score.
    """
    positive = vectors.positive.astype(np.float64)
    return positive - vectors.negative if uses_negatives(scoring) else positive


def similarities(patches: NDArray[np.floating], directions: NDArray[np.floating]) -> Floats:
    """Return the similarities (T, P) of patches (P, D) of any length to directions (T, D) as they are.

    Directions of length 1 give cosines. A patch of length 0 gives NaN.

    Examples
    --------
    >>> patches = np.array([[3.0, 4.0], [0.0, 2.0]])
    >>> similarities(patches, np.array([[1.0, 0.0], [0.0, 1.0]])).tolist()
    [[0.6, 0.0], [0.8, 1.0]]
    """
    wide = patches.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = directions.astype(np.float64) @ wide.T / np.linalg.norm(wide, axis=1)
    return found
