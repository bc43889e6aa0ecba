"""Decoding processes that may die: each serves one file at a time, so that a death costs that file only."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tier_cli.decoding.decode import Decoded, Settings
from tier_cli.decoding.protocol import outcome_from, receive, send, settings_to_text
from tier_cli.errors import InputError, TierError

# -P: a module lying about in the current folder must not be imported.
COMMAND = (sys.executable, "-P", "-m", "tier_cli.decoding.worker")
# A second try in a fresh process, since a process may also die for want of memory that others took.
_TRIES = 2


class DecodePool:
    """A few processes that read and prepare files.

    Separate processes because codecs hold the interpreter's lock, and because a broken file can crash one.
    Each is fed by a thread of its own, which knows what file its process died of.

    Parameters
    ----------
    settings
        How every file is read.
    workers
        The number of processes at most; each is started when there is work for it.
    command
        What to start, to which the settings are added.
    """

    def __init__(self, settings: Settings, workers: int, command: Sequence[str] = COMMAND):
        self._command = [*command, settings_to_text(settings)]
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def submit(self, path: str) -> Future[Decoded | InputError]:
        """Have a file decoded."""
        return self._threads.submit(self._decode, path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes and threads, in the middle of their work if need be."""
        with self._lock:
            self._closed = True
            processes, self._processes = self._processes, set()
        for process in processes:
            process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for process in processes:
            _reap(process)

    def _decode(self, path: str) -> Decoded | InputError:
        for _ in range(_TRIES):
            process = getattr(self._own, "process", None) or self._start()
            outcome = _ask(process, path)
            if outcome is not None:
                return outcome
            self._own.process = None
            self._bury(process)
        return InputError(
            "the process that decoded it died, twice",
            where=path,
            remedy="the file is damaged, or too large for this machine's memory: try fewer --workers",
            kind="crashed",
        )

    def _start(self) -> subprocess.Popen[bytes]:
        """Start a process and wait until it is ready, so that its later death can only be a file's doing."""
        for _ in range(_TRIES):
            with self._lock:
                if self._closed:
                    raise CancelledError
                try:
                    process = _spawn(self._command)
                except OSError as error:
                    raise _no_start(error.strerror) from error
                self._processes.add(process)
            if receive(_out(process)) is not None:
                self._own.process = process
                return process
            self._bury(process)
        raise _no_start("they end at once")

    def _bury(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            if self._closed:
                raise CancelledError
            self._processes.discard(process)
        process.kill()
        _reap(process)


def _no_start(reason: str | None) -> TierError:
    return TierError(
        f"the decoding processes cannot be started ({reason})",
        remedy="use --workers 0 to do without them, or set TIER_DEBUG=1 to see what they say",
    )


def _spawn(command: Sequence[str]) -> subprocess.Popen[bytes]:
    here = str(Path(__file__).resolve().parents[2])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([here, *filter(os.path.isabs, sys.path)]),
        # One thread a process: there are as many processes as there is work for.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Codecs complain there, and may quote what they read.
        stderr=None if os.environ.get("TIER_DEBUG") else subprocess.DEVNULL,
        env=environment,
    )


def _ask(process: subprocess.Popen[bytes], path: str) -> Decoded | InputError | None:
    """Have a process decode a file; None where it died."""
    try:
        send(_in(process), {"path": path})
        message = receive(_out(process))
    except (OSError, ValueError):
        return None
    return None if message is None else outcome_from(*message)


def _in(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdin is None:
        raise RuntimeError("a decoding process was started without pipes")
    return process.stdin


def _out(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise RuntimeError("a decoding process was started without pipes")
    return process.stdout


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for a killed process and close its pipes; what was still to be written to it is of no use."""
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
