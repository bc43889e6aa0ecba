"""Open the output file by its extension; written aside and renamed, it is never half-written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

from tier_cli.errors import UsageError
from tier_cli.files.atomic import create_private, move_whole, whole_file
from tier_cli.packages import require_extras

if TYPE_CHECKING:
    from tier_cli.results.record import Result
    from tier_cli.results.rows import Layout
    from tier_cli.results.writers import ResultWriter

ENDINGS = (".csv", ".json", ".jsonl", ".parquet")
# As --output: JSON lines on stdout, even on a terminal.
STDOUT = "-"
_TABLES = (".csv", ".parquet")
# Follows the name of an output in that of the journal beside it.
JOURNAL_ENDING = ".journal"

_T = TypeVar("_T")


def check_writable(path: str) -> None:
    """Refuse an output file that could not be written, before any work is done.

    Raises
    ------
    UsageError
        If its folder is missing or read-only, or if it is itself a folder.
    """
    target = Path(os.path.realpath(path))
    folder = target.parent
    if target.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(
            "cannot be written: its folder is missing or read-only, or it is itself a folder",
            where=f"--output {path}",
            remedy="create the folder first, or choose another",
        )


@dataclass(frozen=True)
class OutputFile:
    """A file to write results to, checked before any image is read.

    Raises
    ------
    UsageError
        If the extension is unknown or does not support `wide`, or if the folder is not writable.
    """

    path: str
    wide: bool = False

    def __post_init__(self) -> None:
        if self.ending not in ENDINGS:
            raise UsageError(
                f"'{Path(self.path).name}' does not end in a known format",
                where="--output",
                remedy=f"use a name that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}",
            )
        if self.wide and self.ending not in _TABLES:
            raise UsageError(
                f"a {self.ending} file has no columns", where="--wide", remedy="write .csv or .parquet"
            )
        check_writable(self.path)
        if self.ending == ".parquet":
            require_extras(
                "writing Parquet", "parquet", where="--output", otherwise="write .csv, .json or .jsonl"
            )

    @property
    def ending(self) -> str:
        """The extension in lower case, with its dot."""
        return Path(self.path).suffix.lower()

    @contextmanager
    def writer(self, layout: Layout, keep: bool = True) -> Iterator[ResultWriter[Result]]:
        """Open a writer for a file that is complete or absent, see `file_writer`."""
        binary = self.ending == ".parquet"
        make = partial(_writer_for, self.ending, layout=layout)
        with file_writer(self.path, make, binary, private=layout.phi, keep=keep) as writer:
            yield writer

    def write_whole(self, layout: Layout, results: Iterable[Result]) -> None:
        """Write the file from results that are safe elsewhere: it is whole, or stays as it was."""
        with self.writer(layout, keep=False) as writer:
            for result in results:
                writer.write(result)

    def remove_unfinished(self) -> None:
        """Delete what a run that was killed while it wrote this file left; no other run may write it now."""
        from glob import escape

        target = _target(self.path)
        for left in target.parent.glob(f".{escape(target.name)}.*.partial"):
            left.unlink(missing_ok=True)

    @property
    def journal(self) -> Path:
        """The journal beside the file."""
        return Path(f"{_target(self.path)}{JOURNAL_ENDING}")

    @property
    def leftover(self) -> Path:
        """The file that keeps the results of a failed run."""
        return leftover_of(self.path)


def leftover_of(path: str) -> Path:
    """Return the file that keeps the results of a failed run: ``FILE.partial``."""
    target = _target(path)
    return target.with_name(f"{target.name}.partial")


@contextmanager
def file_writer(
    path: str,
    make: Callable[[IO[Any]], ResultWriter[_T]],
    binary: bool,
    *,
    private: bool = False,
    keep: bool = True,
) -> Iterator[ResultWriter[_T]]:
    """Open a writer; the complete file appears under its name when the block ends.

    After Ctrl-C the file holds the results written so far; if there are none, it is left unchanged. Any other
    exception leaves it unchanged, and the results written so far are in `leftover_of`.

    Parameters
    ----------
    path
        The file.
    make
        Creates the writer for an open file.
    binary
        Whether the writer takes bytes.
    private
        Whether only the owner may read the file (0600), for data of patients.
    keep
        Keep the results written before an exception; False where they are safe elsewhere.
    """
    target = _target(path)
    kept: Path | None = None
    with whole_file(target) as aside, _create(aside, binary=binary, private=private) as file:
        writer = _Counting(make(file))
        try:
            yield writer
        except BaseException as error:
            if writer.written and keep:
                kept = target if isinstance(error, KeyboardInterrupt) else leftover_of(path)
            raise
        finally:
            # Even if nothing is kept: Parquet's writer must not outlive its file.
            writer.finish()
            file.close()
            if kept is not None:
                move_whole(aside, kept)


def _target(path: str) -> Path:
    # A symbolic link stays a link: the file that it points to is replaced.
    return Path(os.path.realpath(path))


class _Counting(Generic[_T]):
    """A writer that counts what it has written."""

    def __init__(self, writer: ResultWriter[_T]):
        self._writer = writer
        self.written = 0

    def write(self, result: _T, /) -> None:
        self._writer.write(result)
        self.written += 1

    def finish(self) -> None:
        self._writer.finish()


def _create(path: Path, *, binary: bool, private: bool) -> IO[Any]:
    if private:
        create_private(path).close()
    if binary:
        return path.open("wb")
    # File names that are not valid UTF-8 are written as the bytes they were read as.
    return path.open("w", encoding="utf-8", errors="surrogateescape", newline="")


def _writer_for(ending: str, file: Any, layout: Layout) -> ResultWriter[Result]:
    from tier_cli.results import writers

    if ending == ".csv":
        return writers.CsvWriter(file, layout)
    if ending == ".parquet":
        return writers.ParquetWriter(file, layout)
    return writers.JsonWriter(file) if ending == ".json" else writers.JsonLinesWriter(file)
