"""Show progress over files: how many, how fast, how long to go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.text import Text

from tier_cli.console import is_quiet, is_terminal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task, TaskID

# Seconds after which a rate is meaningful.
_SETTLED = 2.0


class _Figures(ProgressColumn):
    """Files done, files per second and the time left, each as soon as it is known."""

    def render(self, task: Task) -> Text:
        # Averaged over the whole run: files finish in batches, and within a batch almost at once.
        elapsed, done = task.elapsed or 0.0, int(task.completed)
        speed = done / elapsed if elapsed >= _SETTLED else 0.0
        figures = (
            ("progress.download", f"{done}/{task.total:.0f}" if task.total else str(done or "")),
            ("progress.data.speed", f"{speed:.1f} files/s" if speed else ""),
            ("progress.remaining", time_left((task.total - done) / speed if task.total and speed else None)),
        )
        return Text("  ").join(Text(figure, style) for style, figure in figures if figure)


def time_left(seconds: float | None) -> str:
    """Say how long a task will take, such as ``1:05 left``; "" while nobody can know."""
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} left" if hours else f"{minutes}:{rest:02d} left"


@contextmanager
def progress(
    console: Console, count: Callable[[], int] | None, title: str = "Scoring"
) -> Iterator[Callable[[], None]]:
    """Show progress during the block; the block calls the function it receives once per file.

    Parameters
    ----------
    console
        Where to show it.
    count
        Counts all files; it may take long, so it runs in a thread. None if they cannot be counted; then no
        remaining time is shown.
    title
        The name of the activity.
    """
    columns = (
        TextColumn(title),
        # Not the full width: the ^C that a terminal echoes would wrap and leave this line behind.
        BarColumn(bar_width=20),
        _Figures(),
    )
    with Progress(*columns, console=console, transient=True) as display:
        task = display.add_task("", total=None)
        if count is not None:
            # A daemon thread: the run does not wait for the count.
            threading.Thread(target=_set_total, args=(display, task, count), daemon=True).start()
        yield lambda: display.advance(task)


@contextmanager
def progress_on_stderr(count: int | None, title: str) -> Iterator[Callable[[], object]]:
    """Show progress on stderr if it is a terminal: a `tier_cli.progress.Progress`."""
    if is_quiet() or not is_terminal("stderr"):
        yield lambda: None
        return
    from rich.console import Console

    with progress(Console(stderr=True), None if count is None else lambda: count, title) as tick:
        yield tick


@contextmanager
def progress_bar(count: Callable[[], int], title: str) -> Iterator[Callable[[], object]]:
    """Show progress on stderr, or in a notebook that has ipywidgets."""
    from importlib.util import find_spec

    from rich.console import Console

    console = Console(stderr=True)
    # Without ipywidgets, Rich warns at every update in a notebook.
    if console.is_jupyter and find_spec("ipywidgets") is None:
        yield lambda: None
        return
    with progress(console, count, title) as tick:
        yield tick


def _set_total(display: Progress, task: TaskID, count: Callable[[], int]) -> None:
    # The run itself reports anything that is wrong with a folder.
    with suppress(OSError, RuntimeError):
        display.update(task, total=count())
