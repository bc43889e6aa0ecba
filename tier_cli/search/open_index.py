"""Open the embeddings in a file or a folder for searching."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.errors import UsageError
from tier_cli.packages import require_extras
from tier_cli.search.index import WRITE_IT

if TYPE_CHECKING:
    from tier_cli.search.index import EmbeddingIndex


def open_indexes(path: Path) -> tuple[list[EmbeddingIndex], list[str]]:
    """Open a file of embeddings, or all in a folder; also return the names of skipped files.

    Raises
    ------
    UsageError
        If there are no embeddings, a file is damaged, or two files come from different models.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in (".parquet", ".npz"))
        opened, skipped = [], []
        for file in files:
            try:
                opened.append(open_index(file))
            except UsageError as error:
                if error.kind != "not_embeddings":
                    raise
                skipped.append(str(file))
    else:
        opened, skipped = [open_index(path)], []
    found = [index for index in opened if index.count]
    if not found:
        raise UsageError("holds no embeddings", where=str(path), remedy=WRITE_IT)
    for other in found[1:]:
        _check_same(found[0], other)
    return found, skipped


def open_index(path: Path) -> EmbeddingIndex:
    """Open one file of embeddings.

    Raises
    ------
    UsageError
        If the file is missing or holds no embeddings.
    """
    if not path.is_file():
        raise UsageError("no such file or folder", where=str(path), remedy="check --index")
    if path.suffix.lower() == ".npz":
        from tier_cli.search.npz import NpzIndex

        return NpzIndex(path)
    require_extras("reading Parquet", "parquet", where="--index", otherwise="search an .npz file")
    from tier_cli.search.parquet import ParquetIndex

    return ParquetIndex(path)


def _check_same(first: EmbeddingIndex, other: EmbeddingIndex) -> None:
    for name in ("weights", "preprocessing"):
        if first.hashes[name] != other.hashes[name]:
            raise UsageError(
                f"{first.path.name} and {other.path.name} come from models with different {name}",
                where=str(first.path.parent),
                remedy="keep only embeddings of one model in a folder",
            )
