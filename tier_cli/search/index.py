"""Define an opened file of embeddings: its metadata, and its vectors block by block."""

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
# Bounds of what a file may claim: beyond any model, and few enough for memory.
_WIDEST = 1 << 15
# Half precision rounds each number by up to one in two thousand.
_LENGTH_TOLERANCE = 1e-2
WRITE_IT = "write it with `tier embed`"


class EmbeddingIndex(ABC):
    """A file that `tier embed` wrote.

    Parameters
    ----------
    path
        The file.
    known
        Its metadata.

    Attributes
    ----------
    path
        The file.
    model
        The name of the checkpoint.
    hashes
        SHA-256 of its ``weights``, ``preprocessing`` and ``tokenizer``.
    count, dimension
        The number of vectors, and their dimension D.
    sha256
        SHA-256 (hex) of the vectors.

    Raises
    ------
    UsageError
        If the file holds no embeddings, or embeddings in an unknown format.
    """

    def __init__(self, path: Path, known: Any):
        if not isinstance(known, dict) or known.get("format") != FORMAT:
            raise no_embeddings(path)
        if known.get("schema_version") != SCHEMA_VERSION:
            raise UsageError(
                f"embeddings of format version {known.get('schema_version')}, not {SCHEMA_VERSION}",
                where=str(path),
                remedy=f"{WRITE_IT} from this release",
            )
        try:
            self.model, self.hashes = str(known["model"]["name"]), dict(known["model"]["hashes"])
            self.count, self.dimension = _whole(known["embedded"]), _whole(known["dimension"])
            self.sha256 = str(known["sha256"])
            if not {"weights", "preprocessing", "tokenizer"} <= set(self.hashes):
                raise ValueError
            if not 0 < self.dimension <= _WIDEST:
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise no_embeddings(path) from None
        self.path = path

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield row numbers (b,) and unit vectors (b, D), one block at a time.

        Raises
        ------
        UsageError
            If the file is damaged.
        """
        for rows, vectors in self._stored():
            if vectors.dtype not in (np.float32, np.float16):
                raise damaged(self.path)
            wide = vectors.astype(np.float32)
            with np.errstate(over="ignore", invalid="ignore"):
                lengths = np.linalg.norm(wide, axis=1, keepdims=True)
            # NaN is not close to anything.
            if not np.allclose(lengths, 1.0, atol=_LENGTH_TOLERANCE):
                raise UsageError(
                    "holds vectors that are not finite or not of length 1",
                    where=str(self.path),
                    remedy="write it again with `tier embed`",
                )
            yield rows, vectors if vectors.dtype == np.float32 else wide / lengths

    @abstractmethod
    def keys(self, rows: Sequence[int]) -> list[dict[str, str | None]]:
        """Return the `KEYS` of the given rows, in that order."""

    @abstractmethod
    def _stored(self) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Yield rows and vectors as stored."""


def _whole(number: object) -> int:
    """Return a count that is one, or raise ValueError."""
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError
    return number


def no_embeddings(path: Path) -> UsageError:
    """Return the error for a file without embeddings."""
    return UsageError("holds no embeddings", where=str(path), remedy=WRITE_IT, kind="not_embeddings")


def damaged(path: Path) -> UsageError:
    """Return the error for a file that cannot be read to its end."""
    return UsageError("is damaged", where=str(path), remedy="write it again with `tier embed`")


def parse_metadata(path: Path, text: str | bytes) -> Mapping[str, Any]:
    """Parse the metadata of a file; empty if it is not a JSON object."""
    try:
        known = json.loads(text)
    except (ValueError, RecursionError):
        raise no_embeddings(path) from None
    return known if isinstance(known, dict) else {}
