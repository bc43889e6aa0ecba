"""Where results go: a file, tables on a terminal, or JSON lines in a pipe; and what is said beside them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from tier_cli.console import forget_stdout, is_terminal, tell
from tier_cli.results.writers import JsonLinesWriter

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.findings.schema import FindingSet
    from tier_cli.results.output import OutputFile
    from tier_cli.results.privacy import Hasher
    from tier_cli.results.record import Result
    from tier_cli.results.rows import Layout
    from tier_cli.results.writers import Writer

Tick = Callable[[], object]


class Sink:
    """Takes the results of one run.

    Parameters
    ----------
    layout, findings
        The columns, where `file` is a table; the finding set.
    file
        Where to write; stdout without one.
    top
        Keep so many of the highest scores only.
    hasher
        Hashes paths and UIDs, where asked for.

    Attributes
    ----------
    done, failed
        How many files were gone through, and how many of them could not be scored.
    """

    def __init__(
        self,
        layout: Layout,
        findings: FindingSet,
        file: OutputFile | None = None,
        top: int | None = None,
        hasher: Hasher | None = None,
    ):
        self._layout, self._findings, self._file = layout, findings, file
        self._top, self._hasher = top, hasher
        self.done = self.failed = self._written = 0
        # Tables and progress share one console, so that neither is drawn over the other.
        self._console = _stderr_console() if is_terminal("stderr") else None

    def take(
        self, start: Callable[[Tick], Generator[Result, None, None]], count: Callable[[], int] | None = None
    ) -> None:
        """Write results until they end or the reader of stdout goes away.

        Parameters
        ----------
        start
            Starts the run; takes a function to call once a file.
        count
            Counts the files there are in all, where that can be done.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C, when all that was done is written.
        """
        try:
            with self._writer() as writer, self._progress(count) as tick:
                self._write_all(start(lambda: self._tick(tick)), writer)
        except BrokenPipeError:
            forget_stdout()
        except KeyboardInterrupt:
            tell("Interrupted.")
            self._sum_up()
            raise
        except Exception:
            if self._file is not None and self._written and self._file.leftover.exists():
                tell(f"What was done until then is in {self._file.leftover}")
            raise
        else:
            self._sum_up()

    def _write_all(self, results: Generator[Result, None, None], writer: Writer) -> None:
        try:
            for result in results:
                self._write(result, writer)
        except KeyboardInterrupt:
            # Thrown in as well, since it may have come while writing: studies that are not complete yet
            # are still to be had.
            with suppress(KeyboardInterrupt, StopIteration):
                self._write(results.throw(KeyboardInterrupt()), writer)
                for result in results:
                    self._write(result, writer)
            raise

    def _write(self, result: Result, writer: Writer) -> None:
        self.failed += result.error is not None
        if self._top is not None:
            result = result.top(self._top)
        writer.write(self._hasher.apply(result) if self._hasher else result)
        self._written += 1

    def _tick(self, tick: Tick) -> None:
        self.done += 1
        tick()

    def _writer(self) -> AbstractContextManager[Writer]:
        if self._file is not None:
            return self._file.writer(self._layout)
        return _finishing(self._tables() if is_terminal("stdout") else JsonLinesWriter(sys.stdout))

    def _tables(self) -> Writer:
        from rich.console import Console

        from tier_cli.results.privacy import RANDOM_NOTE
        from tier_cli.results.table import TableWriter
        from tier_cli.scoring.calibration import NO_CALIBRATION

        labels = {finding.id: finding.label for finding in self._findings.findings}
        return TableWriter(self._console or Console(), labels, once=(NO_CALIBRATION, RANDOM_NOTE))

    def _progress(self, count: Callable[[], int] | None) -> AbstractContextManager[Tick]:
        if self._console is None:
            return nullcontext(lambda: None)
        from tier_cli.progress import progress

        return progress(self._console, count)

    def _sum_up(self) -> None:
        """Say on stderr what a reader of the results may miss: failures, and where the results are."""
        if self.failed:
            tell(f"{self.failed} of {self.done} {_files(self.done)} could not be scored", colour="yellow")
        if self._file is not None and self._written and self._console is not None:
            tell(f"{self._written} {'result' if self._written == 1 else 'results'} in {self._file.path}")


@contextmanager
def _finishing(writer: Writer) -> Iterator[Writer]:
    try:
        yield writer
    finally:
        writer.finish()


def _files(count: int) -> str:
    return "file" if count == 1 else "files"


def _stderr_console() -> Console:
    from rich.console import Console

    return Console(stderr=True)
