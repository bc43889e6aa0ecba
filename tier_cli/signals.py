"""Name the signals that end a run in order."""

from __future__ import annotations

import signal


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
