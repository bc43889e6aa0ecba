"""Run one batch of files from start to end: write each result, show progress, survive interruptions."""

from __future__ import annotations

import os
import stat
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from typer import Exit

from tier_cli.commands.inputs import skipped_text
from tier_cli.commands.stopping import exit_code_of, signal_name, stopping
from tier_cli.console import discard_stdout, is_quiet, is_terminal, print_message
from tier_cli.errors import counted, kind_label
from tier_cli.results.overwrite import replaced_text
from tier_cli.results.writers import JsonLinesWriter

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.imaging.discover import PassedOver
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.results.output import OutputFile
    from tier_cli.results.privacy import Hasher
    from tier_cli.results.record import FileResult, Result
    from tier_cli.results.rows import Layout
from tier_cli.results.writers import ResultWriter

Tick = Callable[[], object]
_FILE_WIDTH = 200
_R = TypeVar("_R", bound="FileResult")


class ResultRun(ABC, Generic[_R]):
    """Write the results of one run.

    Parameters
    ----------
    activity, verb
        What happens to a file, for messages: ``Scoring`` and ``scored``.
    path, leftover
        The output file, and the file that keeps the results of a failed run; None for stdout.
    passed_over
        The files of folders that are no images.

    Attributes
    ----------
    done, failed
        The number of files processed, and how many of them failed.
    """

    def __init__(
        self,
        activity: str,
        verb: str,
        path: str | None,
        leftover: Path | None,
        passed_over: PassedOver | None = None,
    ):
        self._activity, self._verb, self._path, self._leftover = activity, verb, path, leftover
        self._passed_over = passed_over
        self._replaced = replaced_text(path)
        self._reasons: Counter[str] = Counter()
        self.done = self.failed = self._written = 0
        # Tables and progress share one console, so that neither overwrites the other.
        self._console = _stderr_console() if is_terminal("stderr") and not is_quiet() else None

    @abstractmethod
    def _writer(self) -> AbstractContextManager[ResultWriter[_R]]:
        """Open the output."""

    def _prepared(self, result: _R) -> _R:
        """Return the result as it is to be written."""
        return result

    def write_all(
        self, start: Callable[[Tick], Generator[_R, None, None]], count: Callable[[], int] | None = None
    ) -> None:
        """Write results until they end or the reader closes stdout.

        Parameters
        ----------
        start
            Starts the run; receives a function to call once per file.
        count
            Counts the files, where that is possible.

        Raises
        ------
        Exit
            After Ctrl-C, SIGTERM or SIGHUP, once every finished result is written.
        """
        try:
            with stopping(), self._writer() as writer, self._progress(count) as tick:
                self._write_each(start(lambda: self._tick(tick)), writer)
        except BrokenPipeError:
            discard_stdout()
        except KeyboardInterrupt as stop:
            self._tell_interrupted(signal_name(stop))
            raise Exit(exit_code_of(stop)) from stop
        except Exception:
            if self._leftover is not None and self._written and self._leftover.exists():
                print_message(f"The results up to this error are in {self._leftover}")
            raise
        else:
            self._summarise()

    def _write_each(self, results: Generator[_R, None, None], writer: ResultWriter[_R]) -> None:
        try:
            for result in results:
                self._write(result, writer)
        except KeyboardInterrupt:
            # Ctrl-C may have come during a write: throw it into the run too, which then still yields the
            # studies that it has so far.
            with suppress(KeyboardInterrupt, StopIteration):
                self._write(results.throw(KeyboardInterrupt()), writer)
                for result in results:
                    self._write(result, writer)
            raise

    def _write(self, result: _R, writer: ResultWriter[_R]) -> None:
        if result.error is not None:
            self.failed += 1
            self._reasons[kind_label(result.error.kind)] += 1
        writer.write(self._prepared(result))
        self._written += 1

    def _tick(self, tick: Tick) -> None:
        self.done += 1
        tick()

    def _progress(self, count: Callable[[], int] | None) -> AbstractContextManager[Tick]:
        if self._console is None:
            return nullcontext(lambda: None)
        from tier_cli.display.progress import progress

        return _shown(progress(self._console, count, self._activity))

    def _tell_interrupted(self, by: str = "") -> None:
        """Report on stderr how many results were written before Ctrl-C, where, and how to go on."""
        if not self._written:
            print_message(f"Interrupted{by} before the first result; nothing was written.")
            return
        results = "1 result was" if self._written == 1 else f"{self._written} results were"
        print_message(f"Interrupted{by}: {results} written to {self._path or 'stdout'}.")
        self._summarise(interrupted=True)
        print_message(
            "The same command starts from the first file. To go on, give the other files as a list with one"
            " path per line" + (", and another --output." if self._path else ".")
        )

    def _summarise(self, interrupted: bool = False) -> None:
        """Report on stderr how many files were used and why others were not, and where the results are."""
        files = "file" if self.done == 1 else "files"
        done = f"{self._verb.capitalize()} {self.done - self.failed} of {self.done} {files}{self._units()}"
        if self._path is not None and self._written and not interrupted:
            done += f"; the results are in {self._path}{self._replaced}"
        print_message(done)
        if self.failed:
            print_message(
                f"{self.failed} of {self.done} {files} could not be {self._verb}: {counted(self._reasons)}",
                colour="yellow",
            )
        if self._passed_over is not None and self._passed_over.counts:
            print_message(skipped_text(self._passed_over))
        passed_over = self._passed_over.counts.total() if self._passed_over is not None else 0
        if self.failed or passed_over:
            print_message(account(self.done, self._verb, self.failed, passed_over))

    def _units(self) -> str:
        """Say in how many results the files that were used have come together, if not one by one."""
        return ""


def account(files: int, verb: str, failed: int, passed_over: int) -> str:
    """Return the account of all files that were seen, which adds up.

    Examples
    --------
    >>> account(4, "scored", 2, 1)
    'Seen: 5 files = 2 scored + 2 refused + 1 skipped'
    """
    seen = files + passed_over
    return (
        f"Seen: {seen} {'file' if seen == 1 else 'files'} ="
        f" {files - failed} {verb} + {failed} refused + {passed_over} skipped"
    )


class ScoreRun(ResultRun["Result"]):
    """Write the scores of one run: to a file, as tables on a terminal, or as JSON lines in a pipe.

    Parameters
    ----------
    job
        What the run scores with.
    layout
        The columns, if `file` is a table.
    file
        The output file; stdout if None.
    top
        Keep only this many findings per result, the highest scores.
    hasher
        Hashes paths and UIDs, if asked for.
    passed_over
        The files of folders that are no images.
    tables
        Print tables even where stdout is no terminal; None for a terminal only, False for JSON lines always.
    """

    def __init__(
        self,
        job: ScoringJob,
        layout: Layout,
        file: OutputFile | None = None,
        top: int | None = None,
        hasher: Hasher | None = None,
        passed_over: PassedOver | None = None,
        tables: bool | None = None,
    ):
        path, leftover = (file.path, file.leftover) if file else (None, None)
        super().__init__("Scoring", "scored", path, leftover, passed_over)
        self._hint = tables is None
        self._as_tables = file is None and (is_terminal("stdout") if tables is None else tables)
        self._job, self._layout, self._file, self._top, self._hasher = job, layout, file, top, hasher

    def print_notes(self) -> None:
        """Print what is to be known about the findings, unless the tables will say it."""
        if not self._as_tables:
            for note in self._job.findings.notes:
                print_message(f"Note: {note}")

    def _prepared(self, result: Result) -> Result:
        if self._top is not None:
            result = result.top(self._top)
        return self._hasher.apply(result) if self._hasher else result

    def _writer(self) -> AbstractContextManager[ResultWriter[Result]]:
        if self._file is not None:
            return self._file.writer(self._layout)
        return _finishing(self._tables() if self._as_tables else JsonLinesWriter(sys.stdout))

    def _units(self) -> str:
        if self._layout.unit != "study":
            return ""
        studies = self._written - self.failed
        return f" in {studies} {'study' if studies == 1 else 'studies'}"

    def _summarise(self, interrupted: bool = False) -> None:
        super()._summarise(interrupted)
        if self._file is None and not self._as_tables and self._hint and _is_redirected():
            print_message("The results are JSON lines; --table writes text")

    def _tables(self) -> ResultWriter[Result]:
        from rich.console import Console

        from tier_cli.display.result_table import TableWriter

        labels = {finding.id: finding.label for finding in self._job.findings.findings}
        run_notes = {*self._job.run_notes(self._layout.unit), *([self._hasher.note] if self._hasher else ())}
        # In a file, long paths stay in one line.
        console = Console() if is_terminal("stdout") else Console(width=_FILE_WIDTH)
        shared = self._console if is_terminal("stdout") else None
        return TableWriter(shared or console, labels, run_notes)


@contextmanager
def _shown(progress: AbstractContextManager[Tick]) -> Iterator[Tick]:
    """Show progress; a terminal that is gone, as after SIGHUP, does not end the run."""
    tick = progress.__enter__()
    try:
        yield tick
    finally:
        with suppress(OSError):
            progress.__exit__(None, None, None)


@contextmanager
def _finishing(writer: ResultWriter[Result]) -> Iterator[ResultWriter[Result]]:
    try:
        yield writer
    finally:
        writer.finish()


def hasher(hash_ids: bool) -> Hasher | None:
    """Return the hasher of ``--hash-ids``, or None without the option."""
    if not hash_ids:
        return None
    from tier_cli.results.privacy import Hasher

    return Hasher.from_environment()


def _is_redirected() -> bool:
    """Return whether stdout goes to a file, where a person may expect to read it."""
    with suppress(OSError, ValueError):
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    return False


def _stderr_console() -> Console:
    from rich.console import Console

    return Console(stderr=True)
