"""Progress for people: how many files, how fast, how long still."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from tier_cli.console import is_terminal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task, TaskID

# Seconds after which a speed means something.
_SETTLED = 2.0


class _Rate(ProgressColumn):
    """Files a second."""

    def render(self, task: Task) -> Text:
        # Over the whole run, once there is one: files come in batches, and a batch in no time at all.
        elapsed = task.elapsed or 0.0
        speed = task.completed / elapsed if elapsed >= _SETTLED else 0.0
        return Text(f"{speed:.1f} files/s" if speed else "", style="progress.data.speed")


@contextmanager
def progress(
    console: Console, count: Callable[[], int] | None, title: str = "Scoring"
) -> Iterator[Callable[[], None]]:
    """Show progress while the block lasts; the function given is to be called once a file.

    Parameters
    ----------
    console
        Where to show it.
    count
        Counts the files there are in all, which may take long, so it runs beside the work. None where they
        cannot be counted; then no time left is shown.
    title
        What is being done.
    """
    columns = (
        TextColumn(title),
        # Not the whole line: the ^C that a terminal echoes would begin another, and this one would stay.
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True) as display:
        task = display.add_task("", total=None)
        if count is not None:
            # A daemon: the run does not wait for the count.
            threading.Thread(target=_set_total, args=(display, task, count), daemon=True).start()
        yield lambda: display.advance(task)


@contextmanager
def progress_on_stderr(count: int | None, title: str) -> Iterator[Callable[[], object]]:
    """Show progress on stderr if it is a terminal: a `tier_cli.progress.Progress`."""
    if not is_terminal("stderr"):
        yield lambda: None
        return
    from rich.console import Console

    with progress(Console(stderr=True), None if count is None else lambda: count, title) as tick:
        yield tick


def _set_total(display: Progress, task: TaskID, count: Callable[[], int]) -> None:
    # Whatever is wrong with a folder, the run itself will say.
    with suppress(OSError, RuntimeError):
        display.update(task, total=count())
