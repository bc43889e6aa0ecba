"""Progress as libraries report it: what is being done, and how often; showing it is the caller's business."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Open one phase of work.

    Called with the number of steps (None where it is not known) and a title. The context manager gives a
    function to call once per step.
    """

    def __call__(self, count: int | None, title: str) -> AbstractContextManager[Callable[[], object]]:
        """Begin a phase."""
        ...


@contextmanager
def no_progress(count: int | None, title: str) -> Iterator[Callable[[], object]]:
    """Show nothing: what a library uses unless its caller passes something that shows."""
    yield lambda: None
