"""Run one decoding process: start it, let it decode one file at a time, and learn why it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import IO

from tier_cli.decoding.decode import Decoded
from tier_cli.decoding.protocol import outcome_from, receive, send
from tier_cli.errors import InputError

# -P: do not import modules from the current folder.
COMMAND = (sys.executable, "-P", "-m", "tier_cli.decoding.worker")
# Generous: interpreter and packages may lie on a slow network disk.
_START_SECONDS = 60.0
# How long a process whose pipe is closed may take to end by itself, so that its exit status tells the cause.
_EXIT_SECONDS = 2.0
# What a decoder does to its own process; any other signal came from outside.
_OWN_SIGNALS = frozenset(
    -int(getattr(signal, name))
    for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP")
    if hasattr(signal, name)
)


class Ending(Enum):
    """Why a decoding process ended."""

    OVERDUE = auto()
    KILLED = auto()
    CRASHED = auto()


class DecodeProcess:
    """One decoding process.

    Parameters
    ----------
    command
        The program and its arguments.
    seconds
        How long one file may take.

    Attributes
    ----------
    answered
        How many files it has decoded or refused.

    Raises
    ------
    OSError
        If the process cannot be started.
    """

    def __init__(self, command: Sequence[str], seconds: float):
        self._lock = threading.Lock()
        self._seconds, self._left = seconds, _START_SECONDS
        self._busy, self._overdue, self._gone = True, False, False
        self.answered = 0
        self._process = _spawn(command)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def is_ready(self) -> bool:
        """Wait until the process can take files; return False if it ended before."""
        message = receive(_stdout(self._process))
        self._rest(message is None)
        return message is not None

    def request(self, path: str) -> Decoded | InputError | None:
        """Let the process decode a file; return None if the process ended."""
        with self._lock:
            self._left, self._busy = self._seconds, True
        try:
            send(_stdin(self._process), {"path": path})
            message = receive(_stdout(self._process))
        except (OSError, ValueError):
            message = None
        self._rest(message is None)
        if message is None:
            return None
        self.answered += 1
        return outcome_from(*message)

    def pass_time(self, seconds: float) -> None:
        """Count seconds of work on the file at hand; kill the process once that has taken too long."""
        with self._lock:
            if not self._busy:
                return
            self._left -= seconds
            if self._left <= 0:
                self._busy, self._overdue = False, True
                self._process.kill()

    def kill(self) -> None:
        """Kill the process without waiting for its end."""
        self._process.kill()

    def end(self) -> Ending:
        """End the process, whatever it is doing; return why it ended, if it did so by itself."""
        if self._gone:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_EXIT_SECONDS)
        self._process.kill()
        # Killing does not end a process that waits inside the kernel, for example for a lost disk.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                # Closing flushes what was not sent.
                with suppress(OSError):
                    pipe.close()
        return self._ending()

    def _ending(self) -> Ending:
        code = self._process.returncode
        if self._overdue or (hasattr(signal, "SIGXCPU") and code == -signal.SIGXCPU):
            return Ending.OVERDUE
        if code is not None and code < 0 and code not in _OWN_SIGNALS:
            return Ending.KILLED
        return Ending.CRASHED

    def _rest(self, gone: bool) -> None:
        with self._lock:
            self._busy, self._gone = False, gone


def _spawn(command: Sequence[str]) -> subprocess.Popen[bytes]:
    here = str(Path(__file__).resolve().parents[2])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([here, *filter(os.path.isabs, sys.path)]),
        # One thread per process: the processes already use all CPUs.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Codecs write messages there that may quote a file's content.
        stderr=None if os.environ.get("TIER_DEBUG") else subprocess.DEVNULL,
        env=environment,
    )


def _stdin(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdin is None:
        raise RuntimeError("a decoding process was started without pipes")
    return process.stdin


def _stdout(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise RuntimeError("a decoding process was started without pipes")
    return process.stdout
