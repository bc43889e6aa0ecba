"""The file of embeddings: Parquet or NPZ, told by its ending, whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tier_cli.errors import UsageError
from tier_cli.results.output import Takes, check_writable, file_writer, leftover_of

if TYPE_CHECKING:
    from tier_cli.results.embedded import Embedded, Space

ENDINGS = (".parquet", ".npz")


@dataclass(frozen=True)
class EmbeddingFile:
    """A file to write embeddings to, checked before any work is done.

    Raises
    ------
    UsageError
        Where the ending is unknown, the folder cannot be written to, or pyarrow is not installed.
    """

    path: str

    def __post_init__(self) -> None:
        if self.ending not in ENDINGS:
            raise UsageError(
                f"the format of '{Path(self.path).name}' cannot be told by its ending",
                where="--output",
                remedy=f"end it in {' or '.join(ENDINGS)}",
            )
        check_writable(self.path)
        if self.ending == ".parquet":
            from tier_cli.results.writers import require_pyarrow

            require_pyarrow("choose .npz")

    @property
    def ending(self) -> str:
        """The ending, in small letters, with its dot."""
        return Path(self.path).suffix.lower()

    @property
    def leftover(self) -> Path:
        """Where embeddings go of a run that failed midway."""
        return leftover_of(self.path)

    @contextmanager
    def writer(self, space: Space) -> Iterator[Takes[Embedded]]:
        """Give a writer, see `tier_cli.results.output.file_writer`."""
        with file_writer(self.path, lambda file: self._open(file, space), binary=True) as writer:
            yield writer

    def _open(self, file: IO[Any], space: Space) -> Takes[Embedded]:
        if self.ending == ".parquet":
            from tier_cli.results.embedding_parquet import EmbeddingParquetWriter

            return EmbeddingParquetWriter(file, space)
        from tier_cli.results.embedding_npz import EmbeddingNpzWriter

        return EmbeddingNpzWriter(file, space, Path(os.path.realpath(self.path)).parent)
