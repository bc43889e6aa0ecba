"""Keep received images on disk until their studies are scored, and for as long as there is room."""

from __future__ import annotations

import errno
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tier_cli.errors import TierError
from tier_cli.files.atomic import create_private, remove_partial, sync_folder, whole_file

# The folder below --output; paths in the journal begin with it.
SPOOL = "spool"
_PIXELS, _GONE = ".dcm", ".gone"
# Says that all images of a study are scored and its results are written.
_FINISHED = "finished"
_KEY_DIGITS = 32
# A study that is never quiet, because its sender repeats itself, is scored after so many times the quiet.
_MOST_QUIETS = 10
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class NoRoomError(TierError):
    """There is no room for an image, and nothing may be deleted."""

    exit_code = 74
    default_kind = "storage"


def key_of(uid: str) -> str:
    """Return a name for files from a UID, which may be any text that somebody sent."""
    return hashlib.sha256(uid.encode("utf-8", "surrogatepass")).hexdigest()[:_KEY_DIGITS]


class Spool:
    """The received images, one folder per study.

    A study is *open* from its first image until its results are written; a late image opens it again. Images
    are deleted only from finished studies, the study that was finished first before others; an empty file
    then stands for each.

    Parameters
    ----------
    root
        The folder of --output.
    most
        The bytes that images may take.
    freed
        Called with the key of each study whose images are deleted.
    """

    def __init__(self, root: Path, most: int, freed: Callable[[str], object] = lambda study: None):
        self.root, self._most, self._freed = root, most, freed
        self.folder = root / SPOOL
        self._changed = threading.Condition()
        # Open studies: when they were first and last heard of.
        self._heard: dict[str, tuple[float, float]] = {}
        self._receiving: Counter[str] = Counter()
        # Images that are being written: two senders may have the same one.
        self._writing: set[str] = set()
        self._finished: dict[str, None] = {}
        self._closed = False
        self._used = 0

    def restore(self) -> int:
        """Take up what an earlier run left, and return the number of open studies.

        Only while no other process uses the folder.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.folder.chmod(0o700)
        finished: list[tuple[int, str]] = []
        now = time.monotonic()
        for study in sorted(path for path in self.folder.iterdir() if path.is_dir()):
            remove_partial(study)
            pixels = list(study.glob(f"*{_PIXELS}"))
            self._used += sum(path.stat().st_size for path in pixels)
            marker = study / _FINISHED
            if marker.exists():
                finished.append((marker.stat().st_mtime_ns, study.name))
            elif pixels or any(study.iterdir()):
                self._heard[study.name] = (now, now)
            else:
                study.rmdir()
        self._finished = {study: None for _, study in sorted(finished)}
        return len(self._heard)

    @property
    def used(self) -> int:
        """The bytes that images take."""
        return self._used

    @property
    def open_studies(self) -> int:
        """The number of studies that wait for their end."""
        return len(self._heard)

    def path_of(self, study_uid: str, instance_uid: str) -> str:
        """Return the name of an image, relative to the root, with ``/``."""
        return f"{SPOOL}/{key_of(study_uid)}/{key_of(instance_uid)}{_PIXELS}"

    def store(self, path: str, parts: Sequence[bytes | memoryview]) -> None:
        """Write an image; when this returns, it is on the disk.

        Parameters
        ----------
        path
            From `path_of`.
        parts
            What the file holds.

        Raises
        ------
        NoRoomError
            If there is no room.
        OSError
            If the disk fails in another way.
        """
        target = self.root / path
        size = sum(len(part) for part in parts)
        with self._heard_of(target.parent.name), self._alone(path):
            target.parent.mkdir(mode=0o700, exist_ok=True)
            if _holds(target, parts):
                # Sent again: another file would look like a change to the one that is being scored.
                return
            before = target.stat().st_size if target.exists() else 0
            self._reserve(size)
            try:
                # First: after a crash, a study that is marked has no image without a result.
                (target.parent / _FINISHED).unlink(missing_ok=True)
                with whole_file(target) as partial:
                    _write(partial, parts)
                sync_folder(target.parent)
                sync_folder(self.folder)
            except OSError as error:
                self._release(size)
                if error.errno in _NO_ROOM:
                    raise NoRoomError("the disk is full") from error
                raise
            self._release(before)

    def compare(self, path: str, parts: Sequence[bytes | memoryview]) -> str:
        """Return whether the file of an image holds the ``same`` or ``other`` content, or is ``deleted``."""
        target = self.root / path
        if _holds(target, parts):
            return "same"
        return "other" if target.exists() else "deleted"

    @contextmanager
    def _heard_of(self, study: str) -> Iterator[None]:
        """Keep a study open while an image of it is written, and after that unless the image was refused."""
        folder = self.folder / study
        with self._changed:
            self._receiving[study] += 1
            self._finished.pop(study, None)
        try:
            yield
        finally:
            with self._changed:
                self._receiving[study] -= 1
                if not self._receiving[study]:
                    del self._receiving[study]
                if (folder / _FINISHED).exists():
                    self._finished[study] = None
                elif not _removed(folder):
                    now = time.monotonic()
                    first, _ = self._heard.get(study, (now, now))
                    self._heard[study] = (first, now)
                self._changed.notify_all()

    @contextmanager
    def _alone(self, path: str) -> Iterator[None]:
        """Let nobody else write the same image meanwhile: its room would be counted twice."""
        with self._changed:
            self._changed.wait_for(lambda: path not in self._writing)
            self._writing.add(path)
        try:
            yield
        finally:
            with self._changed:
                self._writing.discard(path)
                self._changed.notify_all()

    def _reserve(self, size: int) -> None:
        with self._changed:
            while self._used + size > self._most:
                oldest = next(iter(self._finished), None)
                if oldest is None or size > self._most:
                    raise NoRoomError("all room is taken by images that are not scored yet")
                self._delete_pixels(oldest)
                del self._finished[oldest]
                self._freed(oldest)
            self._used += size

    def _release(self, size: int) -> None:
        with self._changed:
            self._used -= size

    def _delete_pixels(self, study: str) -> None:
        for path in (self.folder / study).glob(f"*{_PIXELS}"):
            size = path.stat().st_size
            path.with_suffix(_GONE).touch(mode=0o600)
            path.unlink()
            self._used -= size

    def next_quiet(self, quiet: float, wait: float) -> str | None:
        """Wait until a study has been quiet for some seconds, and return its key.

        A study that is heard of again and again is returned after ten times as long.

        Parameters
        ----------
        quiet
            Seconds since the last image.
        wait
            Seconds to wait at most.

        Returns
        -------
        The key, which is to be given to `finish`; None after `wait` seconds, or once the spool is closed.
        """
        end = time.monotonic() + wait
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                due, study = min(
                    (
                        (min(last + quiet, first + _MOST_QUIETS * quiet), one)
                        for one, (first, last) in self._heard.items()
                        if one not in self._receiving
                    ),
                    default=(end, ""),
                )
                if study and due <= now:
                    del self._heard[study]
                    return study
                if now >= end:
                    return None
                self._changed.wait(min(due, end) - now)
        return None

    def close(self) -> None:
        """Let `next_quiet` return no further study."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def images(self, study: str) -> list[str]:
        """Return the paths of all images of a study, also of those that were deleted, in a stable order."""
        folder = self.folder / study
        names = {path.stem for ending in (_PIXELS, _GONE) for path in folder.glob(f"*{ending}")}
        return [f"{SPOOL}/{study}/{name}{_PIXELS}" for name in sorted(names)]

    def finish(self, study: str) -> None:
        """Mark a study whose results are written, unless an image of it has come in the meantime."""
        folder = self.folder / study
        with self._changed:
            if study in self._heard or self._receiving[study] or not folder.exists():
                return
            (folder / _FINISHED).touch(mode=0o600)
            self._finished[study] = None
        sync_folder(folder)


def _removed(folder: Path) -> bool:
    """Remove the folder of a study without images, and return whether there is none."""
    with suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def _holds(path: Path, parts: Sequence[bytes | memoryview]) -> bool:
    """Return whether a file has exactly this content."""
    try:
        with path.open("rb") as file:
            return all(file.read(len(part)) == part for part in parts) and not file.read(1)
    except FileNotFoundError:
        return False


def _write(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    with create_private(path) as file:
        for part in parts:
            file.write(part)
