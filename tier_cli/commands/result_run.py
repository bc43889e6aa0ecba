"""Run one batch of files from start to end: write each result, show progress, survive interruptions."""

from __future__ import annotations

import os
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from typer import Exit

from tier_cli.commands.run_report import RunReport, Tick, studies_text
from tier_cli.commands.stopping import stopping
from tier_cli.console import discard_stdout, is_terminal, print_message
from tier_cli.results.writers import JsonLinesWriter
from tier_cli.signals import exit_code_of, signal_name

if TYPE_CHECKING:
    from tier_cli.commands.dicom_output import DicomOutput
    from tier_cli.imaging.discover import PassedOver
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.results.privacy import Hasher
    from tier_cli.results.record import FileResult, Result, Unit
    from tier_cli.results.writers import ResultWriter

_FILE_WIDTH = 200
_R = TypeVar("_R", bound="FileResult")


class ResultRun(RunReport, ABC, Generic[_R]):
    """Write the results of one run as they come.

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
        super().__init__(activity, verb, path, passed_over)
        self._leftover = leftover
        self._interrupted = False

    @abstractmethod
    def _writer(self) -> AbstractContextManager[ResultWriter[_R]]:
        """Open the output."""

    def _prepared(self, result: _R) -> _R:
        """Return the result as it is to be written."""
        return result

    def _complete(self) -> None:
        """Write what needs all results."""

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
                self._complete()
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
            self._interrupted = True
            # Ctrl-C may have come during a write: throw it into the run too, which then still yields the
            # studies that it has so far.
            with suppress(KeyboardInterrupt, StopIteration):
                self._write(results.throw(KeyboardInterrupt()), writer)
                for result in results:
                    self._write(result, writer)
            raise

    def _write(self, result: _R, writer: ResultWriter[_R]) -> None:
        self._count_failure(result)
        writer.write(self._prepared(result))
        self._written += 1

    def _tick(self, tick: Tick) -> None:
        self.done += 1
        tick()


class ScoreRun(ResultRun["Result"]):
    """Write the scores of one run to stdout: as tables on a terminal, or as JSON lines in a pipe.

    Parameters
    ----------
    job
        What the run scores with.
    unit
        ``image`` or ``study``.
    top
        Keep only this many findings per result, those that stand out most.
    hasher
        Hashes paths and UIDs, if asked for.
    passed_over
        The files of folders that are no images.
    tables
        Print tables even where stdout is no terminal; None for a terminal only, False for JSON lines always.
    dicom
        Writes DICOM objects too; a run that is interrupted writes no more.
    """

    def __init__(
        self,
        job: ScoringJob,
        unit: Unit,
        top: int | None = None,
        hasher: Hasher | None = None,
        passed_over: PassedOver | None = None,
        tables: bool | None = None,
        dicom: DicomOutput | None = None,
    ):
        super().__init__("Scoring", "scored", None, None, passed_over)
        self._hint = tables is None
        self._as_tables = is_terminal("stdout") if tables is None else tables
        self._job, self._unit, self._top, self._hasher = job, unit, top, hasher
        self._dicom = dicom

    def print_notes(self) -> None:
        """Print what is to be known about the findings, unless the tables will say it."""
        if not self._as_tables:
            print_notes(self._job)

    def _prepared(self, result: Result) -> Result:
        if self._top is not None:
            result = result.top(self._top)
        return self._hasher.apply(result) if self._hasher else result

    def _writer(self) -> AbstractContextManager[ResultWriter[Result]]:
        return _finishing(self._tables() if self._as_tables else JsonLinesWriter(sys.stdout))

    def _write(self, result: Result, writer: ResultWriter[Result]) -> None:
        super()._write(result, writer)
        if self._dicom is not None and not self._interrupted:
            self._dicom.add(result if self._top is None else result.top(self._top))

    def _complete(self) -> None:
        if self._dicom is not None:
            self._dicom.finish()

    def _units(self) -> str:
        return studies_text(self._unit, self._written - self.failed)

    def _summarise(self, interrupted: bool = False) -> None:
        super()._summarise(interrupted)
        if not self._as_tables and self._hint and _is_redirected():
            print_message("The results are JSON lines; --table writes text")

    def _tables(self) -> ResultWriter[Result]:
        from rich.console import Console

        from tier_cli.display.result_table import TableWriter

        labels = {finding.id: finding.label for finding in self._job.findings.findings}
        run_notes = {*self._job.run_notes(self._unit), *([self._hasher.note] if self._hasher else ())}
        # In a file, long paths stay in one line.
        console = Console() if is_terminal("stdout") else Console(width=_FILE_WIDTH)
        shared = self._console if is_terminal("stdout") else None
        return TableWriter(shared or console, labels, run_notes)


def print_notes(job: ScoringJob) -> None:
    """Print what is to be known about the findings."""
    for note in job.findings.notes:
        print_message(f"Note: {note}")


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
