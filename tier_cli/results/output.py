"""The output file: format told by its ending, written aside and renamed, so that it is never half-written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from tier_cli.errors import UsageError
from tier_cli.files.atomic import move_whole, whole_file

if TYPE_CHECKING:
    from tier_cli.results.record import Result
    from tier_cli.results.rows import Layout
    from tier_cli.results.writers import Writer

ENDINGS = (".csv", ".json", ".jsonl", ".parquet")
_TABLES = (".csv", ".parquet")

_T = TypeVar("_T")
_In = TypeVar("_In", contravariant=True)


class Takes(Protocol[_In]):
    """A writer of things of one kind."""

    def write(self, result: _In, /) -> None:
        """Write one."""
        ...

    def finish(self) -> None:
        """Write what the format needs at its end; the file is the caller's to close."""
        ...


def check_writable(path: str) -> None:
    """Refuse a file that could not be written at the end, before the work.

    Raises
    ------
    UsageError
        Where its folder is missing or read-only, or it is a folder itself.
    """
    target = Path(os.path.realpath(path))
    folder = target.parent
    if target.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(
            "cannot be written: its folder is missing or read-only, or it is a folder itself",
            where=f"--output {path}",
            remedy="make the folder first",
        )


@dataclass(frozen=True)
class OutputFile:
    """A file to write results to, checked before any work is done.

    Raises
    ------
    UsageError
        Where the ending is unknown or does not go with `wide`, or the folder cannot be written to.
    """

    path: str
    wide: bool = False

    def __post_init__(self) -> None:
        if self.ending not in ENDINGS:
            raise UsageError(
                f"the format of '{Path(self.path).name}' cannot be told by its ending",
                where="--output",
                remedy=f"end it in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}",
            )
        if self.wide and self.ending not in _TABLES:
            raise UsageError(
                f"a {self.ending} file has no columns", where="--wide", remedy="write .csv or .parquet"
            )
        check_writable(self.path)
        if self.ending == ".parquet":
            from tier_cli.results.writers import require_pyarrow

            require_pyarrow()

    @property
    def ending(self) -> str:
        """The ending, in small letters, with its dot."""
        return Path(self.path).suffix.lower()

    @contextmanager
    def writer(self, layout: Layout) -> Iterator[Takes[Result]]:
        """Give a writer for a file that is whole or not there, see `file_writer`."""
        binary = self.ending == ".parquet"
        with file_writer(self.path, lambda file: _writer_for(self.ending, file, layout), binary) as writer:
            yield writer

    @property
    def leftover(self) -> Path:
        """Where results go of a run that failed midway."""
        return leftover_of(self.path)


def leftover_of(path: str) -> Path:
    """Where results go of a run that failed midway."""
    target = _target(path)
    return target.with_name(f"{target.name}.partial")


@contextmanager
def file_writer(path: str, make: Callable[[IO[Any]], Takes[_T]], binary: bool) -> Iterator[Takes[_T]]:
    """Give a writer; the file appears under its name, complete, when the block ends.

    After Ctrl-C it holds what was written until then, and is left as it was if that is nothing. Any other
    exception leaves it as it was; what was written until then is in `leftover_of`.

    Parameters
    ----------
    path
        The file.
    make
        Makes the writer for an open file.
    binary
        Whether that takes bytes.
    """
    target = _target(path)
    kept: Path | None = None
    with whole_file(target) as partial, _create(partial, binary=binary) as file:
        writer = _Counting(make(file))
        try:
            yield writer
        except BaseException as error:
            if writer.written:
                kept = target if isinstance(error, KeyboardInterrupt) else leftover_of(path)
            raise
        finally:
            # Also when nothing is kept: Parquet's writer must not outlive its file.
            writer.finish()
            file.close()
            if kept is not None:
                move_whole(partial, kept)


def _target(path: str) -> Path:
    # A link stays a link: what it points to is replaced.
    return Path(os.path.realpath(path))


class _Counting(Generic[_T]):
    """A writer that knows whether anything was written."""

    def __init__(self, writer: Takes[_T]):
        self._writer = writer
        self.written = 0

    def write(self, result: _T, /) -> None:
        self._writer.write(result)
        self.written += 1

    def finish(self) -> None:
        self._writer.finish()


def _create(path: Path, *, binary: bool) -> IO[Any]:
    if binary:
        return path.open("wb")
    # File names that are not valid UTF-8 are written as the bytes they were read as.
    return path.open("w", encoding="utf-8", errors="surrogateescape", newline="")


def _writer_for(ending: str, file: Any, layout: Layout) -> Writer:
    from tier_cli.results import writers

    if ending == ".csv":
        return writers.CsvWriter(file, layout)
    if ending == ".parquet":
        return writers.ParquetWriter(file, layout)
    return writers.JsonWriter(file) if ending == ".json" else writers.JsonLinesWriter(file)
