"""Decide how many decoding processes work at once, and how long to wait before another is started."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

_FIRST_DELAY, _LONGEST_DELAY = 0.1, 2.0
# After so many files without trouble, one more process may work.
_CALM = 50


class Pace:
    """Let fewer processes work, and wait longer, while processes are killed or cannot start.

    Parameters
    ----------
    workers
        The maximum number of processes.
    """

    def __init__(self, workers: int):
        self._most = self._allowed = workers
        self._working = self._calm = 0
        self._delay = 0.0
        self._closed = False
        self._changed = threading.Condition()

    @property
    def allowed(self) -> int:
        """How many processes may work at present."""
        return self._allowed

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until one more process may work; raises `CancelledError` once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._working < self._allowed)
            self._check_open()
            self._working += 1
        try:
            yield
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify()

    def went_well(self) -> None:
        """Note that a file was handled."""
        with self._changed:
            self._delay = 0.0
            self._calm += 1
            if self._calm >= _CALM and self._allowed < self._most:
                self._calm = 0
                self._allowed += 1
                self._changed.notify()

    def went_wrong(self) -> None:
        """Note that a process was killed or could not start."""
        with self._changed:
            self._calm = 0
            self._allowed = max(1, self._allowed // 2)
            self._delay = min(_LONGEST_DELAY, max(_FIRST_DELAY, 2 * self._delay))

    def wait(self) -> None:
        """Wait before a process is started; raises `CancelledError` once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, timeout=self._delay)
            self._check_open()

    def close(self) -> None:
        """Wake all that wait."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise CancelledError
