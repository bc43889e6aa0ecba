"""Write embeddings as NPZ; arrays first grow on disk, because an NPZ array states its length up front."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from tier_cli.results.embedded import METADATA, EmbeddingResult, EmbeddingSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEYS = ("path", "study", "series", "instance", "view", "notes")
_ERRORS = ("error_path", "error_kind", "error_message")
_ROWS = 4096
# A fixed date: the same embeddings give the same file.
_DATE = (1980, 1, 1, 0, 0, 0)


class EmbeddingNpzWriter:
    """Write arrays with one entry per embedded image, and separate arrays for the files that failed.

    Numbers and texts are first collected in unnamed files beside the output, then packed.

    Parameters
    ----------
    file
        Open for bytes.
    space
        The space of the vectors.
    folder
        A folder on the disk of the output, for the unnamed files.
    """

    def __init__(self, file: IO[bytes], space: EmbeddingSpace, folder: Path):
        self._file, self._space = file, space
        self._number = np.dtype(space.precision)
        self._opened = ExitStack()
        self._vectors, self._norms, self._patches, self._patch_norms, self._keys, self._errors = (
            self._opened.enter_context(TemporaryFile(dir=folder))  # noqa: SIM115 - the stack closes it
            for _ in range(6)
        )
        self._embedded = self._failed = 0
        self._grid: tuple[int, int] | None = None
        self._hash = hashlib.sha256()

    def write(self, result: EmbeddingResult) -> None:
        """Add one image, or one failure."""
        if result.vector is None:
            failure = result.error
            reason = (failure.kind, failure.message) if failure else ("", "")
            self._errors.write(_line([result.path, *reason]))
            self._failed += 1
            return
        numbers = result.vector.astype(self._number).tobytes()
        self._hash.update(numbers)
        self._vectors.write(numbers)
        self._norms.write(np.float32(result.norm).tobytes())
        if result.patches is not None and result.patch_norms is not None:
            self._patches.write(result.patches.astype(self._number).tobytes())
            self._patch_norms.write(result.patch_norms.astype(np.float32).tobytes())
        keys = (result.path, result.study, result.series, result.instance, result.view)
        self._keys.write(_line([*keys, "; ".join(result.notes)]))
        self._embedded += 1
        self._grid = self._grid or result.grid

    def finish(self) -> None:
        """Pack the arrays."""
        count, size, single = self._embedded, self._space.dimension, np.dtype(np.float32)
        with self._opened, zipfile.ZipFile(self._file, "w", allowZip64=True) as archive:
            metadata = self._space.metadata(count, self._failed, self._grid, self._hash.hexdigest())
            _pack(archive, METADATA, np.array(json.dumps(metadata)))
            _copy(archive, "embeddings", self._vectors, self._number, (count, size))
            _copy(archive, "norms", self._norms, single, (count,))
            if self._space.with_patches:
                grid = self._grid or (0, 0)
                _copy(archive, "patches", self._patches, self._number, (count, *grid, size))
                _copy(archive, "patch_norms", self._patch_norms, single, (count, *grid))
            for column, name in enumerate(_KEYS):
                _texts(archive, name, self._keys, column, count)
            for column, name in enumerate(_ERRORS):
                _texts(archive, name, self._errors, column, self._failed)


def _line(cells: list[str]) -> bytes:
    # JSON in ASCII survives the line ends and lone surrogates that file names may contain.
    return json.dumps(cells).encode("ascii") + b"\n"


def _column(lines: IO[bytes], column: int) -> Iterator[str]:
    lines.seek(0)
    for line in lines:
        yield json.loads(line)[column]


def _texts(archive: zipfile.ZipFile, name: str, lines: IO[bytes], column: int, count: int) -> None:
    longest = max((len(text) for text in _column(lines, column)), default=0)
    kind = np.dtype(f"<U{max(1, longest)}")
    texts = _column(lines, column)
    with _member(archive, name, kind, (count,), zipfile.ZIP_DEFLATED) as member:
        while block := list(islice(texts, _ROWS)):
            member.write(np.array(block, kind).tobytes())


def _copy(
    archive: zipfile.ZipFile, name: str, numbers: IO[bytes], kind: np.dtype[Any], shape: tuple[int, ...]
) -> None:
    numbers.seek(0)
    with _member(archive, name, kind, shape, zipfile.ZIP_STORED) as member:
        shutil.copyfileobj(numbers, member, 1 << 20)


def _pack(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    with _member(archive, name, array.dtype, array.shape, zipfile.ZIP_STORED) as member:
        member.write(array.tobytes())


def _member(
    archive: zipfile.ZipFile, name: str, kind: np.dtype[Any], shape: tuple[int, ...], compression: int
) -> IO[bytes]:
    entry = zipfile.ZipInfo(f"{name}.npy", _DATE)
    entry.compress_type = compression
    member = archive.open(entry, "w", force_zip64=True)
    head = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, head)
    return member
