"""One run from its start to its end: results taken one by one, progress shown, interruptions survived."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from tier_cli.console import forget_stdout, is_terminal, tell

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.results.output import Takes
    from tier_cli.results.record import Judged

Tick = Callable[[], object]
_J = TypeVar("_J", bound="Judged")


class Intake(ABC, Generic[_J]):
    """Takes the results of one run.

    Parameters
    ----------
    doing, verb
        What happens to a file, for people: ``Scoring`` and ``scored``.
    path, leftover
        The file that is written, and what was written before a failure; None for stdout.

    Attributes
    ----------
    done, failed
        How many files were gone through, and of how many nothing came.
    """

    def __init__(
        self,
        doing: str = "Scoring",
        verb: str = "scored",
        path: str | None = None,
        leftover: Path | None = None,
    ):
        self._doing, self._verb, self._path, self._leftover = doing, verb, path, leftover
        self.done = self.failed = self._written = 0
        # Tables and progress share one console, so that neither is drawn over the other.
        self._console = _stderr_console() if is_terminal("stderr") else None

    @abstractmethod
    def _writer(self) -> AbstractContextManager[Takes[_J]]:
        """Where results go."""

    def _prepared(self, result: _J) -> _J:
        """Change a result before it is written."""
        return result

    def take(
        self, start: Callable[[Tick], Generator[_J, None, None]], count: Callable[[], int] | None = None
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
            if self._leftover is not None and self._written and self._leftover.exists():
                tell(f"What was done until then is in {self._leftover}")
            raise
        else:
            self._sum_up()

    def _write_all(self, results: Generator[_J, None, None], writer: Takes[_J]) -> None:
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

    def _write(self, result: _J, writer: Takes[_J]) -> None:
        self.failed += result.error is not None
        writer.write(self._prepared(result))
        self._written += 1

    def _tick(self, tick: Tick) -> None:
        self.done += 1
        tick()

    def _progress(self, count: Callable[[], int] | None) -> AbstractContextManager[Tick]:
        if self._console is None:
            return nullcontext(lambda: None)
        from tier_cli.display.progress import progress

        return progress(self._console, count, self._doing)

    def _sum_up(self) -> None:
        """Say on stderr what a reader of the results may miss: failures, and where the results are."""
        if self.failed:
            files = "file" if self.done == 1 else "files"
            tell(f"{self.failed} of {self.done} {files} could not be {self._verb}", colour="yellow")
        if self._path is not None and self._written and self._console is not None:
            tell(f"{self._written} {'result' if self._written == 1 else 'results'} in {self._path}")


def _stderr_console() -> Console:
    from rich.console import Console

    return Console(stderr=True)
