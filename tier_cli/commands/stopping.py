"""Let a run end in order when it is told to: by Ctrl-C, a scheduler, or the end of its terminal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(KeyboardInterrupt):
    """A signal that ends the run as Ctrl-C does.

    Parameters
    ----------
    number
        The signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def exit_code_of(stop: KeyboardInterrupt) -> int:
    """Return the exit code that shells and schedulers expect of a signal: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


def signal_name(stop: KeyboardInterrupt) -> str:
    """Return `` by SIGTERM`` for messages; nothing for Ctrl-C."""
    return f" by {signal.Signals(stop.number).name}" if isinstance(stop, Stopped) else ""


@contextmanager
def stopping() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into `Stopped` during the block; one that is ignored, as by nohup, stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    try:
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, _raise)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)
