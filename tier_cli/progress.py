"""Define how libraries report progress; the caller decides whether and how to show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Begin one phase of work.

    Called with the number of steps (None if unknown) and a title. The context manager returns a function to
    call once per step.
    """

    def __call__(self, count: int | None, title: str) -> AbstractContextManager[Callable[[], object]]:
        """Begin a phase."""
        ...


@contextmanager
def no_progress(count: int | None, title: str) -> Iterator[Callable[[], object]]:
    """Show nothing: the default of libraries.

    Yields
    ------
    A function that does nothing, to call once per step.
    """
    yield lambda: None
