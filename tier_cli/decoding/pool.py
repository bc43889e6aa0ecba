"""Run decoding processes that may crash: each handles one file at a time, so a crash costs only that file."""

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

# -P: do not import modules from the current folder.
COMMAND = (sys.executable, "-P", "-m", "tier_cli.decoding.worker")
# A second try in a fresh process: the first may have run out of memory because of others.
_TRIES = 2


class DecodePool:
    """A pool of processes that read and prepare files.

    Processes, because codecs hold the interpreter's lock and because a broken file can crash one. Each is fed
    by its own thread, which knows the file on which its process crashed.

    Parameters
    ----------
    settings
        How every file is read.
    workers
        The maximum number of processes; each is started when there is work for it.
    command
        The command to start, to which the settings are appended.
    """

    def __init__(self, settings: Settings, workers: int, command: Sequence[str] = COMMAND):
        self._command = [*command, settings_to_text(settings)]
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def submit(self, path: str) -> Future[Decoded | InputError]:
        """Queue a file for decoding."""
        return self._threads.submit(self._decode, path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all processes and threads, even during their work."""
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
            outcome = _request(process, path)
            if outcome is not None:
                return outcome
            self._own.process = None
            self._discard(process)
        return InputError(
            "the decoding process crashed twice on this file",
            where=path,
            remedy="it is damaged, or too large for this machine's memory: try fewer --workers",
            kind="crashed",
        )

    def _start(self) -> subprocess.Popen[bytes]:
        """Start a process and wait until it is ready, so that only a file can crash it later."""
        for _ in range(_TRIES):
            with self._lock:
                if self._closed:
                    raise CancelledError
                try:
                    process = _spawn(self._command)
                except OSError as error:
                    raise _no_start(error.strerror) from error
                self._processes.add(process)
            if receive(_stdout(process)) is not None:
                self._own.process = process
                return process
            self._discard(process)
        raise _no_start("they exit at once")

    def _discard(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            if self._closed:
                raise CancelledError
            self._processes.discard(process)
        process.kill()
        _reap(process)


def _no_start(reason: str | None) -> TierError:
    return TierError(
        f"the decoding processes cannot be started ({reason})",
        remedy="use --workers 0 to decode in this process, or set TIER_DEBUG=1 to see their messages",
    )


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


def _request(process: subprocess.Popen[bytes], path: str) -> Decoded | InputError | None:
    """Let a process decode a file; return None if the process died."""
    try:
        send(_stdin(process), {"path": path})
        message = receive(_stdout(process))
    except (OSError, ValueError):
        return None
    return None if message is None else outcome_from(*message)


def _stdin(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdin is None:
        raise RuntimeError("a decoding process was started without pipes")
    return process.stdin


def _stdout(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise RuntimeError("a decoding process was started without pipes")
    return process.stdout


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for a killed process and close its pipes, discarding unsent data."""
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
