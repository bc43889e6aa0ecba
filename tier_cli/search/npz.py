"""Read embeddings from an NPZ archive, one block at a time."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from tier_cli.results.embedded import METADATA
from tier_cli.search.index import BLOCK_ROWS, KEYS, EmbeddingIndex, damaged, no_embeddings, parse_metadata

if TYPE_CHECKING:
    from numpy.typing import NDArray

# `tier embed` writes fourteen arrays; a path has at most 4,096 characters, of four bytes here.
_MOST_MEMBERS, _LARGEST_CELL, _LARGEST_METADATA, _LARGEST_BLOCK = 64, 1 << 15, 1 << 24, 1 << 28
# What zipfile and numpy raise for damaged or senseless archives.
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError),
    *(RuntimeError, SyntaxError, MemoryError, TypeError),
)


class NpzIndex(EmbeddingIndex):
    """Read an NPZ file of embeddings; it has one row per embedded image."""

    def __init__(self, path: Path):
        try:
            with zipfile.ZipFile(path) as archive, _array(archive, METADATA) as (member, kind, shape):
                if shape != () or kind.kind != "U" or kind.itemsize > _LARGEST_METADATA:
                    raise no_embeddings(path)
                text = str(np.frombuffer(member.read(kind.itemsize), kind)[0])
        except (*_BROKEN, KeyError):
            raise no_embeddings(path) from None
        super().__init__(path, parse_metadata(path, text))

    def _stored(self) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        first = 0
        for block in self._blocks("embeddings", (self.dimension,)):
            yield np.arange(first, first + len(block)), block
            first += len(block)

    def keys(self, rows: Sequence[int]) -> list[dict[str, str | None]]:
        """Return the `KEYS` of the given rows, in that order."""
        columns = {name: self._picked(name, rows) for name in KEYS}
        return [{name: columns[name][place] or None for name in KEYS} for place in range(len(rows))]

    def _picked(self, name: str, rows: Sequence[int]) -> list[str]:
        wanted, found, first = np.asarray(rows), [""] * len(rows), 0
        for block in self._blocks(name, ()):
            for place in np.flatnonzero((wanted >= first) & (wanted < first + len(block))):
                found[place] = str(block[wanted[place] - first])
            first += len(block)
        return found

    def _blocks(self, name: str, row: tuple[int, ...]) -> Iterator[NDArray[Any]]:
        try:
            with zipfile.ZipFile(self.path) as archive, _array(archive, name) as (member, kind, shape):
                if shape != (self.count, *row) or kind.itemsize > _LARGEST_CELL:
                    raise damaged(self.path)
                size = kind.itemsize * int(np.prod(row, dtype=np.int64))
                step = max(1, min(BLOCK_ROWS, _LARGEST_BLOCK // max(size, 1)))
                for first in range(0, self.count, step):
                    count = min(step, self.count - first)
                    yield np.frombuffer(member.read(count * size), kind).reshape(count, *row)
        except (*_BROKEN, KeyError):
            raise damaged(self.path) from None


@contextmanager
def _array(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[IO[bytes], np.dtype[Any], tuple[int, ...]]]:
    """Open an array in an archive, positioned after its header."""
    if len(archive.infolist()) > _MOST_MEMBERS:
        raise ValueError("too many members")
    with archive.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read:
            raise ValueError("unknown version of the array format")
        shape, fortran, kind = read[version](member)
        if fortran or kind.hasobject:
            raise ValueError("unsupported kind of array")
        yield member, kind, shape
