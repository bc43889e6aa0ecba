"""Read embeddings from a Parquet file, one row group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from tier_cli.results.embedded import METADATA
from tier_cli.search.index import BLOCK_ROWS, KEYS, EmbeddingIndex, damaged, no_embeddings, parse_metadata

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ParquetIndex(EmbeddingIndex):
    """Read a Parquet file of embeddings; row numbers count failed images too."""

    def __init__(self, path: Path):
        try:
            footer = parquet.read_metadata(str(path))
        except (pa.ArrowException, OSError):
            raise no_embeddings(path) from None
        super().__init__(path, parse_metadata(path, (footer.metadata or {}).get(METADATA.encode(), b"{}")))
        self._sizes = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]

    def _stored(self) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        first = 0
        try:
            with parquet.ParquetFile(str(self.path)) as file:
                for batch in file.iter_batches(BLOCK_ROWS, columns=["embedding"]):
                    column = batch.column(0)
                    there = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
                    # flatten() drops nulls.
                    values = column.flatten().to_numpy(zero_copy_only=False)
                    yield first + there, values.reshape(len(there), self.dimension)
                    first += len(column)
        except (pa.ArrowException, OSError, ValueError, KeyError, AttributeError):
            raise damaged(self.path) from None

    def keys(self, rows: Sequence[int]) -> list[dict[str, str | None]]:
        """Return the `KEYS` of the given rows, in that order; only their row groups are read."""
        ends = np.cumsum(self._sizes)
        groups = np.searchsorted(ends, rows, side="right")
        found: dict[int, dict[str, str | None]] = {}
        try:
            with parquet.ParquetFile(str(self.path)) as file:
                for group in sorted(set(groups.tolist())):
                    own = [row for row, at in zip(rows, groups, strict=True) if at == group]
                    start = int(ends[group]) - self._sizes[group]
                    table = file.read_row_group(group, columns=list(KEYS)).take([row - start for row in own])
                    found |= dict(zip(own, table.to_pylist(), strict=True))
        except (pa.ArrowException, OSError, KeyError):
            raise damaged(self.path) from None
        return [found[row] for row in rows]
