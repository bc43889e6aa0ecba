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
_MAKE = "write it with `tier embed`"


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
                remedy=f"{_MAKE} of this release",
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


def open_indexes(path: Path) -> tuple[list[EmbeddingIndex], list[str]]:
    """Open a file of embeddings, or all that lie in a folder, and name the files left aside.

    Raises
    ------
    UsageError
        Where nothing is there, a file is damaged, or two files are of different models.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in (".parquet", ".npz"))
        opened, aside = [], []
        for file in files:
            try:
                opened.append(open_index(file))
            except UsageError as error:
                if error.kind != "not_embeddings":
                    raise
                aside.append(str(file))
    else:
        opened, aside = [open_index(path)], []
    found = [index for index in opened if index.count]
    if not found:
        raise UsageError("holds no embeddings", where=str(path), remedy=_MAKE)
    for other in found[1:]:
        _check_same(found[0], other)
    return found, aside


def open_index(path: Path) -> EmbeddingIndex:
    """Open one file of embeddings.

    Raises
    ------
    UsageError
        Where it is not there or holds no embeddings.
    """
    if not path.is_file():
        raise UsageError("no such file or folder", where=str(path), remedy="check --index")
    if path.suffix.lower() == ".npz":
        from tier_cli.search.npz import NpzIndex

        return NpzIndex(path)
    from tier_cli.results.writers import require_pyarrow

    require_pyarrow("search an .npz file", "reading Parquet", "--index")
    from tier_cli.search.parquet import ParquetIndex

    return ParquetIndex(path)


def not_ours(path: Path) -> UsageError:
    """The error of a file without embeddings."""
    return UsageError("holds no embeddings", where=str(path), remedy=_MAKE, kind="not_embeddings")


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


def _check_same(first: EmbeddingIndex, other: EmbeddingIndex) -> None:
    for name in ("weights", "preprocessing"):
        if first.hashes[name] != other.hashes[name]:
            raise UsageError(
                f"{first.path.name} and {other.path.name} are of models with different {name}",
                where=str(first.path.parent),
                remedy="keep embeddings of one model in a folder",
            )
