"""Write files of random embeddings to search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.results.embedded import EmbeddingResult, EmbeddingSpace
from tier_cli.results.embedding_file import EmbeddingFile
from tier_cli.results.record import Failure

HASHES = {"weights": "a" * 64, "preprocessing": "b" * 64, "tokenizer": "c" * 64}


def unit(count: int, dimension: int, seed: int = 0) -> NDArray[np.float32]:
    """Return random unit vectors (count, dimension)."""
    vectors = np.random.default_rng(seed).normal(size=(count, dimension))
    normed: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normed.astype(np.float32)


def write_vectors(path: Path, vectors: NDArray[np.float32], every: int = 0, **space: Any) -> Path:
    """Write vectors named 0, 1, ...; precede every `every`-th one by a file that failed."""
    known: dict[str, Any] = {"model": "tiny", "hashes": HASHES, "dimension": vectors.shape[1], **space}
    with EmbeddingFile(str(path)).writer(EmbeddingSpace(**known)) as writer:
        for number, vector in enumerate(vectors):
            if every and number % every == 0:
                writer.write(EmbeddingResult("failed", error=Failure("missing", "gone")))
            writer.write(EmbeddingResult(str(number), study=f"s{number}", vector=vector, norm=1.0))
    return path
