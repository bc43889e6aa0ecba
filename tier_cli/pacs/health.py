"""Tell how the service is: JSON lines on stderr, and a file that is replaced as a whole.

Nothing of an image or of an unknown caller is quoted: studies and instances go by the keys of their files.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from tier_cli.files.atomic import whole_file

# How often the file is replaced at most, and at least.
_SOONEST, _LATEST = 1.0, 30.0


class Health:
    """Count events and tell of them.

    Parameters
    ----------
    stream
        Receives one JSON object per event; None for none.
    status_file
        Replaced with the counts and `now`; None for none.
    now
        Returns what the file says besides the counts: sizes of queues and the like.
    """

    def __init__(
        self,
        stream: TextIO | None,
        status_file: Path | None = None,
        now: Callable[[], Mapping[str, Any]] = dict,
    ):
        self._stream, self._file, self.now = stream, status_file, now
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._ended = threading.Event()
        self._started = _time()
        self._thread = threading.Thread(target=self._write_often, name="health", daemon=True)

    def start(self) -> None:
        """Begin to write the file."""
        if self._file is not None:
            self._write("starting")
            self._thread.start()

    def stop(self) -> None:
        """Write the file for the last time."""
        self._ended.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._file is not None:
            self._write("stopped")

    def count(self, name: str, by: int = 1) -> None:
        """Add to one of the counts of the file."""
        with self._lock:
            self._counts[name] += by
        self._changed.set()

    def counted(self, name: str) -> int:
        """Return one of the counts."""
        with self._lock:
            return self._counts[name]

    def tell(self, event: str, **fields: Any) -> None:
        """Write one line."""
        line = json.dumps({"time": _time(), "event": event, **fields})
        # Whoever reads stderr may be gone; the service goes on.
        with self._lock, suppress(OSError, ValueError):
            if self._stream is not None:
                self._stream.write(line + "\n")
                self._stream.flush()
        self._changed.set()

    def _write_often(self) -> None:
        while not self._ended.is_set():
            self._changed.wait(_LATEST)
            self._changed.clear()
            if not self._ended.is_set():
                self._write("listening")
            self._ended.wait(_SOONEST)

    def _write(self, state: str) -> None:
        if self._file is None:
            return
        with self._lock:
            counts = dict(sorted(self._counts.items()))
        document = {
            "state": state,
            "pid": os.getpid(),
            "started": self._started,
            "updated": _time(),
            "counts": counts,
            **self.now(),
        }
        # A full disk must not end the service: the age of the file then tells.
        with suppress(OSError), whole_file(self._file) as partial:
            partial.write_text(json.dumps(document, indent=1) + "\n", encoding="ascii")


def _time() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
