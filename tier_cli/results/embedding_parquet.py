"""Write embeddings as Parquet: one row per file, in row groups."""

from __future__ import annotations

import hashlib
import json
from typing import IO, Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from tier_cli.results.embedded import METADATA, EmbeddingResult, EmbeddingSpace
from tier_cli.results.writers import utf8

# Rows are buffered until a row group is large enough to be worth writing.
_GROUP_ROWS = 8192
_GROUP_BYTES = 8_000_000

_TEXTS = ("path", "study", "series", "instance", "view", "error_kind", "error_message")


class EmbeddingParquetWriter:
    """Write a table with one row per file; `embedding` is null where `error_kind` is set.

    Parameters
    ----------
    file
        Open for bytes.
    space
        The space of the vectors.
    """

    def __init__(self, file: IO[bytes], space: EmbeddingSpace):
        self._space = space
        self._number = np.dtype(space.precision)
        self._schema = _schema(space)
        self._writer = parquet.ParquetWriter(
            file,
            self._schema,
            # Embeddings do not compress.
            compression={**dict.fromkeys(_TEXTS, "zstd"), "notes.list.element": "zstd"},
            use_dictionary=[name for name in _TEXTS if name not in ("path", "instance")],
            write_statistics=list(_TEXTS),
        )
        self._rows: list[EmbeddingResult] = []
        self._bytes = self._embedded = self._failed = 0
        self._grid: tuple[int, int] | None = None
        self._hash = hashlib.sha256()

    def write(self, result: EmbeddingResult) -> None:
        """Add one row; rows are written in groups."""
        self._rows.append(result)
        self._grid = self._grid or result.grid
        for part in (result.vector, result.patches):
            self._bytes += 0 if part is None else part.size * self._number.itemsize
        if len(self._rows) >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._flush()

    def finish(self) -> None:
        """Write the last rows and the metadata."""
        if self._rows:
            self._flush()
        metadata = self._space.metadata(self._embedded, self._failed, self._grid, self._hash.hexdigest())
        self._writer.add_key_value_metadata({METADATA: json.dumps(metadata)})
        self._writer.close()

    def _flush(self) -> None:
        rows, self._rows, self._bytes = self._rows, [], 0
        present = np.array([row.vector is not None for row in rows])
        self._embedded += int(present.sum())
        self._failed += int((~present).sum())
        columns = {
            **{name: _texts(rows, name) for name in _TEXTS[:5]},
            "embedding": self._vectors(rows, present),
            "norm": pa.array([row.norm for row in rows], pa.float32(), mask=~present),
            "notes": pa.array([list(map(utf8, row.notes)) for row in rows], pa.list_(pa.string())),
            "error_kind": _failures(rows, "kind"),
            "error_message": _failures(rows, "message"),
        }
        if self._space.with_patches:
            columns["patches"] = self._lists([row.patches for row in rows], self._number)
            columns["patch_norms"] = self._lists([row.patch_norms for row in rows], np.dtype(np.float32))
        self._writer.write_table(pa.table([columns[name] for name in self._schema.names], self._schema))

    def _vectors(self, rows: list[EmbeddingResult], present: Any) -> Any:
        values = np.zeros((len(rows), self._space.dimension), self._number)
        for number, row in enumerate(rows):
            if row.vector is not None:
                values[number] = row.vector
                self._hash.update(values[number])
        kind = self._schema.field("embedding").type
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=kind, mask=pa.array(~present))

    def _lists(self, parts: list[Any], number: np.dtype[Any]) -> Any:
        flat = [np.zeros(0, number) if part is None else part.astype(number).ravel() for part in parts]
        offsets = np.cumsum([0, *map(len, flat)], dtype=np.int32)
        missing = pa.array([part is None for part in parts])
        values = pa.array(np.concatenate(flat))
        return pa.ListArray.from_arrays(pa.array(offsets), values, mask=missing)


def _schema(space: EmbeddingSpace) -> Any:
    number = pa.from_numpy_dtype(np.dtype(space.precision))
    text = pa.string()
    fields = [(name, text) for name in _TEXTS[:5]]
    fields += [("embedding", pa.list_(number, space.dimension)), ("norm", pa.float32())]
    if space.with_patches:
        fields += [("patches", pa.list_(number)), ("patch_norms", pa.list_(pa.float32()))]
    fields += [("notes", pa.list_(text)), ("error_kind", text), ("error_message", text)]
    return pa.schema(fields)


def _texts(rows: list[EmbeddingResult], name: str) -> Any:
    return pa.array([utf8(getattr(row, name)) or None for row in rows], pa.string())


def _failures(rows: list[EmbeddingResult], part: str) -> Any:
    return pa.array(
        [utf8(getattr(row.error, part)) if row.error is not None else None for row in rows], pa.string()
    )
