"""Files of embeddings opened for searching: what they are of, and their vectors block by block."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.errors import UsageError
from tier_cli.results.embedded import FORMAT, SCHEMA_VERSION

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEYS = ("path", "study", "series", "instance", "view")
BLOCK_ROWS = 8192
WRITE_IT = "write it with `tier embed`"


class EmbeddingIndex(ABC):
    """A file that `tier embed` wrote.

    Parameters
    ----------
    path
        The file.
    known
        What it says about itself.

    Attributes
    ----------
    path
        The file.
    model
        The name of the checkpoint.
    hashes
        SHA-256 of its ``weights``, ``preprocessing`` and ``tokenizer``.
    count, dimension
        How many vectors there are, and their length D.
    sha256
        That of the vectors.

    Raises
    ------
    UsageError
        Where these are no embeddings, or of a kind that is unknown here.
    """

    def __init__(self, path: Path, known: Any):
        if not isinstance(known, dict) or known.get("format") != FORMAT:
            raise not_ours(path)
        if known.get("schema_version") != SCHEMA_VERSION:
            raise UsageError(
                f"its embeddings are written in version {known.get('schema_version')}, not {SCHEMA_VERSION}",
                where=str(path),
                remedy=f"{WRITE_IT} of this release",
            )
        try:
            self.model, self.hashes = str(known["model"]["name"]), dict(known["model"]["hashes"])
            self.count, self.dimension = int(known["embedded"]), int(known["dimension"])
            self.sha256 = str(known["sha256"])
        except (KeyError, TypeError, ValueError):
            raise not_ours(path) from None
        self.path = path

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Give the numbers of rows (b,) and their unit vectors (b, D), a block at a time.

        Raises
        ------
        UsageError
            Where the file is damaged.
        """
        for rows, vectors in self._stored():
            if vectors.dtype == np.float32:
                yield rows, vectors
                continue
            wide = vectors.astype(np.float32)
            yield rows, wide / np.linalg.norm(wide, axis=1, keepdims=True)

    @abstractmethod
    def keys(self, rows: Sequence[int]) -> list[dict[str, str | None]]:
        """Give `KEYS` of rows, in their order."""

    @abstractmethod
    def _stored(self) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Give rows and vectors as they are stored."""


def not_ours(path: Path) -> UsageError:
    """The error of a file without embeddings."""
    return UsageError("holds no embeddings", where=str(path), remedy=WRITE_IT, kind="not_embeddings")


def damaged(path: Path) -> UsageError:
    """The error of a file that cannot be read to its end."""
    return UsageError("is damaged", where=str(path), remedy="write it anew with `tier embed`")


def parsed(path: Path, text: str | bytes) -> Mapping[str, Any]:
    """Read what a file says about itself."""
    try:
        known = json.loads(text)
    except ValueError:
        raise not_ours(path) from None
    return known if isinstance(known, dict) else {}
