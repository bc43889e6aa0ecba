"""Count what became of the files of a run, show its progress, and report both on stderr."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from tier_cli.commands.inputs import skipped_text
from tier_cli.console import is_quiet, is_terminal, print_message
from tier_cli.errors import counted, kind_label
from tier_cli.results.overwrite import replaced_text

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.imaging.discover import PassedOver
    from tier_cli.results.record import FileResult

Tick = Callable[[], object]


class RunReport:
    """What became of the files of one run.

    Parameters
    ----------
    activity, verb
        What happens to a file, for messages: ``Scoring`` and ``scored``.
    path
        The output file; None for stdout.
    passed_over
        The files of folders that are no images.

    Attributes
    ----------
    done, failed
        The number of files processed, and how many of them failed.
    """

    def __init__(self, activity: str, verb: str, path: str | None, passed_over: PassedOver | None = None):
        self._activity, self._verb, self._path = activity, verb, path
        self._passed_over = passed_over
        self._replaced = replaced_text(path)
        self._reasons: Counter[str] = Counter()
        self.done = self.failed = self._written = 0
        # Tables and progress share one console, so that neither overwrites the other.
        self._console = _stderr_console() if is_terminal("stderr") and not is_quiet() else None

    def _count_failure(self, result: FileResult) -> None:
        if result.error is not None:
            self.failed += 1
            self._reasons[kind_label(result.error.kind)] += 1

    def _progress(self, count: Callable[[], int] | None) -> AbstractContextManager[Tick]:
        if self._console is None:
            return nullcontext(lambda: None)
        from tier_cli.display.progress import progress

        return _shown(progress(self._console, count, self._activity))

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

    def _tell_interrupted(self, by: str) -> None:
        """Report on stderr how many results were written before a signal, where, and how to go on."""
        if not self._written:
            print_message(f"Interrupted{by} before the first result; nothing was written.")
            return
        results = "1 result was" if self._written == 1 else f"{self._written} results were"
        print_message(f"Interrupted{by}: {results} written to {self._path or 'stdout'}.")
        self._summarise(interrupted=True)
        self._tell_how_to_go_on()

    def _tell_how_to_go_on(self) -> None:
        print_message(
            "The same command starts from the first file. To go on, give the other files as a list with one"
            " path per line" + (", and another --output." if self._path else ".")
        )

    def _units(self) -> str:
        """Say in how many results the files that were used have come together, if not one by one."""
        return ""


def studies_text(unit: str, studies: int) -> str:
    """Say in how many studies the files have come together; "" for results by image."""
    return f" in {studies} {'study' if studies == 1 else 'studies'}" if unit == "study" else ""


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


@contextmanager
def _shown(progress: AbstractContextManager[Tick]) -> Iterator[Tick]:
    """Show progress; a terminal that is gone, as after SIGHUP, does not end the run."""
    tick = progress.__enter__()
    try:
        yield tick
    finally:
        with suppress(OSError):
            progress.__exit__(None, None, None)


def _stderr_console() -> Console:
    from rich.console import Console

    return Console(stderr=True)
