"""Let a run end in order when it is told to: by Ctrl-C, a scheduler, or the end of its terminal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tier_cli.errors import TierError
from tier_cli.signals import Stopped


class _Handler:
    """Raises the exception of a signal and remembers it, because code that it interrupts may lose it."""

    def __init__(self) -> None:
        self.stop: KeyboardInterrupt | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.stop = KeyboardInterrupt() if number == signal.SIGINT else Stopped(number)
        raise self.stop


_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def stopping(*names: str) -> Iterator[Callable[[], KeyboardInterrupt | None]]:
    """Turn signals into `Stopped`, and Ctrl-C into KeyboardInterrupt, during the block.

    A signal that is ignored, as by nohup, stays so.

    Parameters
    ----------
    names
        The signals; by default SIGINT, SIGTERM and SIGHUP.

    Yields
    ------
    A function that returns the exception of the latest signal, also where the block lost it, or None.

    Raises
    ------
    KeyboardInterrupt
        Also in place of an exception that a signal has caused: a compiled module whose import is interrupted
        raises ImportError.
    """
    handler = _Handler()
    before = {}
    try:
        for name in (names or _SIGNALS) if threading.current_thread() is threading.main_thread() else ():
            number = getattr(signal, name, None)
            if number is not None and _may_replace(signal.getsignal(number)):
                before[number] = signal.signal(number, handler)
        yield lambda: handler.stop
    except TierError:
        raise
    except KeyboardInterrupt as stop:
        if handler.stop is None or handler.stop is stop:
            raise
        # What it interrupted has made another one of it, without the signal.
        raise handler.stop from stop
    except Exception as error:
        if handler.stop is None:
            raise
        raise handler.stop from error
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _may_replace(handler: object) -> bool:
    return handler in (signal.SIG_DFL, signal.default_int_handler) or isinstance(handler, _Handler)
