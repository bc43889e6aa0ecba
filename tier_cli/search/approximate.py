"""Search with faiss: a graph of neighbours, stored beside the embeddings that it was built from."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faiss as _faiss
import numpy as np

from tier_cli.files.atomic import whole_file
from tier_cli.search.exact import Hit, best

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.search.index import EmbeddingIndex

# HNSW (Malkov & Yashunin 2018): neighbours per vector, and the breadth of building and searching.
_NEIGHBOURS = 32
_BUILD = 200
_SEARCH = 256
_HASH_DIGITS = 16
# faiss ships incomplete types.
faiss: Any = _faiss


def approximately_nearest(
    indexes: Sequence[EmbeddingIndex],
    query: NDArray[np.float32],
    top: int,
    report: Callable[[str], object] = lambda line: None,
) -> list[Hit]:
    """Find the unit vectors nearest to a query, best first; some of the nearest may be missed.

    Parameters
    ----------
    indexes, query, top
        As in `tier_cli.search.exact.nearest`.
    report
        Called with a message before a graph is built, which takes longer than a search.
    """
    hits: list[Hit] = []
    for file, index in enumerate(indexes):
        graph = _graph(index, report)
        faiss.downcast_index(graph.index).hnsw.efSearch = max(_SEARCH, 4 * top)
        scores, rows = graph.search(np.ascontiguousarray(query[None], np.float32), min(top, index.count))
        found = zip(rows[0].tolist(), scores[0].tolist(), strict=True)
        hits += [Hit(file, row, score) for row, score in found if row >= 0]
    return best(hits, top)


def graph_path(index: EmbeddingIndex) -> Path:
    """Return the path of a file's graph; the name contains the hash of the vectors that it belongs to."""
    return index.path.with_name(f"{index.path.name}.{index.sha256[:_HASH_DIGITS]}.faiss")


def _graph(index: EmbeddingIndex, report: Callable[[str], object]) -> Any:
    path = graph_path(index)
    graph = _read(path)
    if graph is None or (graph.ntotal, graph.d) != (index.count, index.dimension):
        report(f"Building an index of {index.path.name} ...")
        graph = _build(index)
        try:
            _write(path, graph)
        except OSError:
            report(f"The index cannot be saved in {path.parent}; the next search builds it again")
    return graph


def _build(index: EmbeddingIndex) -> Any:
    inner = faiss.IndexHNSWFlat(index.dimension, _NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    inner.hnsw.efConstruction = _BUILD
    graph = faiss.IndexIDMap(inner)
    for rows, vectors in index.blocks():
        graph.add_with_ids(np.ascontiguousarray(vectors), rows)
    return graph


def _read(path: Path) -> Any:
    """Return the stored graph; None if it is missing or invalid."""
    try:
        with path.open("rb") as file:
            return faiss.read_index(faiss.PyCallbackIOReader(file.read))
    except (OSError, RuntimeError):
        return None


def _write(path: Path, graph: Any) -> None:
    with whole_file(path) as partial, partial.open("wb") as file:
        faiss.write_index(graph, faiss.PyCallbackIOWriter(file.write))
    _delete_older(path)


def _delete_older(path: Path) -> None:
    """Delete the graphs of earlier contents of the file."""
    stem = path.name.removesuffix(".faiss")[: -_HASH_DIGITS - 1]
    for old in path.parent.glob(f"{glob.escape(stem)}.{'[0-9a-f]' * _HASH_DIGITS}.faiss"):
        if old != path:
            with suppress(OSError):
                old.unlink()
