"""Find the nearest vectors exactly, comparing one block at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.search.index import EmbeddingIndex


@dataclass(frozen=True)
class Hit:
    """Identify an image that was found: its file and row, and its product with the query."""

    file: int
    row: int
    score: float


def nearest(indexes: Sequence[EmbeddingIndex], query: NDArray[np.float32], top: int) -> list[Hit]:
    """Find the unit vectors with the largest product with a query, best first; equal ones in row order.

    Parameters
    ----------
    indexes
        The files to search.
    query
        (D,). If its length is 1, the products are cosines.
    top
        Maximum number of hits. Memory holds one block and this many hits.
    """
    hits: list[Hit] = []
    for file, index in enumerate(indexes):
        for rows, vectors in index.blocks():
            scores = vectors @ query
            places = largest(scores, top)
            found = zip(rows[places].tolist(), scores[places].tolist(), strict=True)
            hits = best([*hits, *(Hit(file, row, score) for row, score in found)], top)
    return hits


def best(hits: Sequence[Hit], top: int) -> list[Hit]:
    """Keep the best hits, best first."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.file, hit.row))[:top]


def largest(scores: NDArray[np.floating], top: int) -> NDArray[np.intp]:
    """Return the positions of the largest scores (n,), unordered; of equal scores the first ones win."""
    if len(scores) <= top:
        return np.arange(len(scores))
    bound = np.partition(scores, -top)[-top]
    above, equal = np.flatnonzero(scores > bound), np.flatnonzero(scores == bound)
    return np.concatenate([above, equal[: top - len(above)]])
