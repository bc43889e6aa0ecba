"""Write embeddings to a Parquet or NPZ file, by its extension; the file is complete or absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tier_cli.errors import UsageError
from tier_cli.packages import require_extras
from tier_cli.results.output import check_writable, file_writer, leftover_of

if TYPE_CHECKING:
    from tier_cli.results.embedded import EmbeddingResult, EmbeddingSpace
    from tier_cli.results.writers import ResultWriter

ENDINGS = (".parquet", ".npz")


@dataclass(frozen=True)
class EmbeddingFile:
    """A file to write embeddings to, checked before any image is read.

    Raises
    ------
    UsageError
        If the extension is unknown, the folder is not writable, or pyarrow is not installed.
    """

    path: str

    def __post_init__(self) -> None:
        if self.ending not in ENDINGS:
            raise UsageError(
                f"'{Path(self.path).name}' does not end in a known format",
                where="--output",
                remedy=f"use a name that ends in {' or '.join(ENDINGS)}",
            )
        check_writable(self.path)
        if self.ending == ".parquet":
            require_extras("writing Parquet", "parquet", where="--output", otherwise="write .npz")

    @property
    def ending(self) -> str:
        """The extension in lower case, with its dot."""
        return Path(self.path).suffix.lower()

    @property
    def leftover(self) -> Path:
        """The file that keeps the embeddings of a failed run."""
        return leftover_of(self.path)

    @contextmanager
    def writer(self, space: EmbeddingSpace) -> Iterator[ResultWriter[EmbeddingResult]]:
        """Open a writer, see `tier_cli.results.output.file_writer`."""
        with file_writer(self.path, lambda file: self._open(file, space), binary=True) as writer:
            yield writer

    def _open(self, file: IO[Any], space: EmbeddingSpace) -> ResultWriter[EmbeddingResult]:
        if self.ending == ".parquet":
            from tier_cli.results.embedding_parquet import EmbeddingParquetWriter

            return EmbeddingParquetWriter(file, space)
        from tier_cli.results.embedding_npz import EmbeddingNpzWriter

        return EmbeddingNpzWriter(file, space, Path(os.path.realpath(self.path)).parent)
