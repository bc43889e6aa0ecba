"""Run decoding processes that may crash, hang or grow: each has one file at a time, which is all it costs."""

from __future__ import annotations

import errno
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from tier_cli.decoding.decode import Decoded, Settings, decode
from tier_cli.decoding.light import is_light
from tier_cli.decoding.pace import Pace
from tier_cli.decoding.process import COMMAND, DecodeProcess, Ending
from tier_cli.decoding.protocol import settings_to_text
from tier_cli.errors import InputError, TierError

# A second try in a fresh process: the first may have run out of memory because of others.
_CRASHES = 2
# A process that is killed from outside says little about its file, so the file gets more tries.
_KILLS = 8
# How many processes may end at once, before the first is ready, until it is clear that none ever will be.
_VAIN_STARTS = 2
# How long a file waits for a process that can be started; for as long after that, light files wait no more.
_PATIENCE = 30.0
# How often the age of the files at hand is looked at.
_TICK = 0.2
# For a new process the machine lacks memory or a number now, not always.
_PASSING = (errno.EAGAIN, errno.ENOMEM)


class DecodePool:
    """A pool of processes that read and prepare files.

    Processes, because codecs hold the interpreter's lock and because a broken file can crash one, keep one
    busy for ever, or make one grow. A thread for each knows the file on which its process ended.

    Parameters
    ----------
    settings
        How every file is read, and how much time and memory each may take.
    workers
        The maximum number of processes; each is started when there is work for it.
    command
        The command to start, to which the settings are appended.
    """

    def __init__(self, settings: Settings, workers: int, command: Sequence[str] = COMMAND):
        self._settings = settings
        self._command = [*command, settings_to_text(settings)]
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._pace = Pace(workers)
        self._lock = threading.Lock()
        self._processes: set[DecodeProcess] = set()
        self._idle: list[DecodeProcess] = []
        self._watch: threading.Thread | None = None
        self._closed = threading.Event()
        self._proven = False
        self._hopeless_until = 0.0
        self._vain_starts = 0
        self._here = threading.Lock()

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
            self._closed.set()
            processes, self._processes = self._processes, set()
        self._pace.close()
        for process in processes:
            process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for process in processes:
            process.end()
        if self._watch is not None:
            self._watch.join()

    def _decode(self, path: str) -> Decoded | InputError:
        with self._pace.turn():
            ended: Counter[Ending] = Counter()
            while ended[Ending.CRASHED] < _CRASHES and ended[Ending.KILLED] < _KILLS:
                process = self._process(path)
                if process is None:
                    return self._without_process(path, "no decoding process could be started for it")
                outcome = process.request(path)
                if outcome is None:
                    ending = self._discard(process)
                    ended[ending] += 1
                    if ending is Ending.OVERDUE:
                        return _overdue(path, self._settings.seconds)
                    if ending is Ending.KILLED:
                        self._pace.went_wrong()
                    continue
                self._pace.went_well()
                if not isinstance(outcome, InputError) or outcome.kind != "memory_limit":
                    self._keep(process)
                    return outcome
                # The files before it may have left memory behind: only a fresh process tells.
                self._discard(process)
                if process.answered == 1:
                    return outcome
            if ended[Ending.KILLED] == _KILLS:
                return self._without_process(path, f"its decoding process was killed {_KILLS} times")
        return InputError(
            "the decoding process crashed twice on this file",
            where=path,
            remedy="it is damaged, or too large for this machine's memory: try fewer --workers",
            kind="crashed",
        )

    def _without_process(self, path: str, why: str) -> Decoded | InputError:
        """Decode a file that is safe to decode here; refuse any other."""
        if is_light(path):
            # One at a time: the readers silence warnings for the whole process.
            with self._here:
                return decode(path, self._settings)
        remedy = "run again when the machine has memory and processes to spare"
        return InputError(why, where=path, remedy=remedy, kind="crashed")

    def _process(self, path: str) -> DecodeProcess | None:
        """Return a process that is ready, waiting longer after each vain start; None if patience ends."""
        if time.monotonic() < self._hopeless_until and is_light(path):
            return None
        until = time.monotonic() + _PATIENCE
        while True:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is not None and process.runs:
                return process
            if process is not None:
                self._discard(process)
                self._pace.went_wrong()
            self._pace.wait()
            process = self._started()
            if process is not None:
                self._proven, self._hopeless_until = True, 0.0
                return process
            self._pace.went_wrong()
            if time.monotonic() > until:
                self._hopeless_until = time.monotonic() + _PATIENCE
                return None

    def _started(self) -> DecodeProcess | None:
        """Start a process and wait until it is ready, so that only a file can crash it; None if it ends."""
        with self._lock:
            if self._closed.is_set():
                raise CancelledError
            try:
                process = DecodeProcess(self._command, self._settings.seconds)
            except OSError as error:
                if not self._proven and error.errno not in _PASSING:
                    raise _no_start(error.strerror) from error
                return None
            self._processes.add(process)
            if self._watch is None:
                self._watch = threading.Thread(target=self._watch_time, name="decode-watch", daemon=True)
                self._watch.start()
        if process.is_ready():
            return process
        if self._discard(process) is Ending.CRASHED and not self._proven:
            self._vain_starts += 1
            if self._vain_starts >= _VAIN_STARTS:
                raise _no_start("they exit at once")
        return None

    def _keep(self, process: DecodeProcess) -> None:
        """Let a process wait for its next file, unless fewer should work."""
        with self._lock:
            surplus = len(self._processes) > self._pace.allowed
            if not surplus:
                self._idle.append(process)
        if surplus:
            self._discard(process)

    def _discard(self, process: DecodeProcess) -> Ending:
        with self._lock:
            if self._closed.is_set():
                raise CancelledError
            self._processes.discard(process)
        return process.end()

    def _watch_time(self) -> None:
        """Count the time that each process spends on its file.

        No step counts for more than two ticks: while the whole command is suspended, no file ages.
        """
        last = time.monotonic()
        while not self._closed.wait(_TICK):
            now = time.monotonic()
            passed, last = min(now - last, 2 * _TICK), now
            with self._lock:
                processes = list(self._processes)
            for process in processes:
                process.pass_time(passed)


def _overdue(path: str, seconds: float) -> InputError:
    return InputError(
        f"reading it took longer than {seconds:g} s",
        where=path,
        remedy="it is damaged or unusually costly: give more time with --timeout-per-file",
        kind="time_limit",
    )


def _no_start(reason: str | None) -> TierError:
    return TierError(
        f"the decoding processes cannot be started ({reason})",
        remedy="use --workers 0 to decode in this process, or set TIER_DEBUG=1 to see their messages",
    )
