"""Keep what is to be sent until its receiver has it, over failures and restarts."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

from tier_cli.files.atomic import create_private, remove_partial, sync_folder, whole_file
from tier_cli.pacs.health import Health

# The folder below --output, with one folder per receiver.
OUTBOX = "outbox"
LONGEST_PAUSE = 300.0
# So many objects go in one association or request.
_BATCH = 50


class Sent(Enum):
    """What became of an object."""

    DONE = "done"
    LATER = "later"
    REFUSED = "refused"


class Destination(Protocol):
    """Something that receives DICOM files."""

    def __str__(self) -> str:
        """Return its name, as it was given."""
        ...

    def send(self, files: Sequence[Path]) -> Mapping[Path, Sent]:
        """Send files, and return what became of each; those not named are tried again."""
        ...


class Outbox:
    """The files for one receiver, and the thread that sends them.

    A receiver that cannot be reached, or has no room, gets all files later: the pause doubles with each
    failure. A file that it refuses stays in the folder, and is tried once more after a restart.

    Parameters
    ----------
    root
        The folder of --output.
    destination
        The receiver.
    health
        Told of what was sent and what was not.
    pause
        Seconds until the second attempt.
    """

    def __init__(self, root: Path, destination: Destination, health: Health, pause: float):
        self._root, self._destination, self._health, self._pause = root, destination, health, pause
        self.folder = root / OUTBOX / re.sub(r"[^A-Za-z0-9.-]+", "_", str(destination))
        self._changed = threading.Condition()
        self._refused: set[str] = set()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="send", daemon=True)

    def __str__(self) -> str:
        return str(self._destination)

    def restore(self) -> None:
        """Take up what an earlier run left; raises `OSError`."""
        for folder in (self._root / OUTBOX, self.folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
        remove_partial(self.folder)

    def start(self) -> None:
        """Send what is there, and what comes."""
        self._thread.start()

    def stop(self, patience: float) -> None:
        """Let the file that is being sent be finished; the others stay for the next run.

        Parameters
        ----------
        patience
            Seconds to wait at most.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(patience)

    @property
    def waiting(self) -> int:
        """The number of files that were not sent, without those that were refused."""
        return len(self._names())

    @property
    def refused(self) -> int:
        """The number of files that the receiver refused."""
        return len(self._refused)

    def put(self, name: str, content: bytes) -> None:
        """Add a file; when this returns, it is on the disk.

        Parameters
        ----------
        name
            Another for each version: a file that is being sent is not replaced.
        content
            A DICOM file.
        """
        target = self.folder / name
        with whole_file(target) as partial, create_private(partial) as file:
            file.write(content)
        sync_folder(self.folder)
        with self._changed:
            self._refused.discard(name)
            self._changed.notify_all()

    def _names(self) -> list[str]:
        """Return the files to send, the oldest first."""
        try:
            with os.scandir(self.folder) as entries:
                found = [
                    (entry.stat().st_mtime_ns, entry.name)
                    for entry in entries
                    if not entry.name.startswith(".") and entry.name not in self._refused
                ]
        except OSError:
            return []
        return [name for _, name in sorted(found)]

    def _run(self) -> None:
        failures = 0
        while True:
            with self._changed:
                if failures:
                    pause = min(self._pause * 2 ** (failures - 1), LONGEST_PAUSE)
                    self._changed.wait_for(lambda: self._stopping, pause)
                names = self._names()
                while not names and not self._stopping:
                    self._changed.wait(LONGEST_PAUSE)
                    names = self._names()
                if self._stopping:
                    return
            # After a failure others come first: one file that the receiver chokes on does not hold up all.
            first = failures % len(names)
            batch = (names[first:] + names[:first])[:_BATCH]
            failures = 0 if self._send([self.folder / name for name in batch]) else failures + 1

    def _send(self, files: Sequence[Path]) -> bool:
        """Send files, and return whether the receiver could take them."""
        try:
            outcome = self._destination.send(files)
        except Exception:  # noqa: BLE001 - an answer without sense must not end the sending for good
            outcome = {}
        counts = dict.fromkeys(Sent, 0)
        for file in files:
            what = outcome.get(file, Sent.LATER)
            counts[what] += 1
            if what is Sent.DONE:
                file.unlink(missing_ok=True)
            elif what is Sent.REFUSED:
                with self._changed:
                    self._refused.add(file.name)
        to = str(self._destination)
        for what, event in ((Sent.DONE, "sent"), (Sent.REFUSED, "not accepted"), (Sent.LATER, "not sent")):
            if counts[what]:
                self._health.count(event.replace(" ", "_"), counts[what])
                self._health.tell(event, to=to, files=counts[what])
        return not counts[Sent.LATER]
