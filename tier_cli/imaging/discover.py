"""Find the image files among paths, folders, globs and lists, lazily and in a stable order."""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from tier_cli.errors import InputError
from tier_cli.imaging.opening import head_of, open_file
from tier_cli.imaging.path_list import ENDINGS as LIST_ENDINGS
from tier_cli.imaging.path_list import list_entries
from tier_cli.imaging.sniff import claims_image, content_of, is_dicomdir, other_content


@dataclass(frozen=True)
class Source:
    """One file to read, or the reason why it cannot be read.

    Parameters
    ----------
    path
        The file as given or found.
    error
        The reason; None if the file can be read.
    name
        What results call it; empty for its path.
    """

    path: str
    error: InputError | None = None
    name: str = ""

    @property
    def shown(self) -> str:
        """What results call the file."""
        return self.name or self.path


# Stands between sources where a list on stdin has nothing more to offer yet: finish what is under way.
PAUSE = Source("")


@dataclass
class PassedOver:
    """Counts the files of folders that are passed over: those that neither are nor claim to be images.

    Parameters
    ----------
    observe
        Called with each file and the reason.
    counts
        The number of files by reason.
    """

    observe: Callable[[str, str], object] = lambda path, reason: None
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, path: str, reason: str) -> None:
        """Count one file."""
        self.counts[reason] += 1
        self.observe(path, reason)


_NAMES_NONE = "the list names no files"
# How many lines of a text may lack their file until it is taken for something else than a list.
_TRIED_LINES = 20
# Folders of links to folders of links multiply: 40 of them give a million million paths.
_MOST_VISITS = 100


def discover(
    paths: Iterable[str], stdin: BinaryIO | None = None, passed_over: PassedOver | None = None
) -> Iterator[Source]:
    """Yield the files that `paths` stand for, in the given order, sorted by name within folders and globs.

    Parameters
    ----------
    paths
        Files, folders, globs, lists of paths (``.txt``, ``.lst``, ``.list``), or ``-`` for a list on `stdin`.
        Of a folder come the files that are images by content or by name; see `PassedOver` for the others.
    stdin
        The stream that ``-`` reads; if None, ``-`` is an ordinary file name. `PAUSE` is yielded where the
        stream has nothing more to offer yet.
    passed_over
        Counts what is passed over.
    """
    walk = _Walk(passed_over or PassedOver())
    for path in paths:
        if path == "-" and stdin is not None:
            yield from walk.listed(stdin, path)
        elif _is_list(path):
            yield from walk.list_file(path)
        else:
            yield from walk.named(path)


def _is_list(path: str) -> bool:
    if not path.lower().endswith(LIST_ENDINGS):
        return False
    try:
        status = os.stat(path)
        return stat.S_ISREG(status.st_mode) and content_of(head_of(path, status)) is None
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class _Walk:
    passed_over: PassedOver
    # How often each folder was reached through a link.
    visits: Counter[tuple[int, int]] = field(default_factory=Counter)

    def list_file(self, path: str) -> Iterator[Source]:
        """Yield the files of a list; if it names none, yield one reason."""
        try:
            with open_file(path) as file:
                sources = self.listed(file, path)
                # A shell's folder/* also gives texts that are no lists: one reason then, not one per line.
                first: list[Source] = []
                for source in sources:
                    first.append(source)
                    if source.error is None or source.error.kind != "missing" or len(first) == _TRIED_LINES:
                        break
                if all(source.error and source.error.kind == "missing" for source in first):
                    lines = f"none of its first {len(first)} lines" if len(first) > 1 else "no line"
                    what = f"the text is no list of files: {lines} names a file" if first else _NAMES_NONE
                    yield Source(path, _failed(path, what, "write one path per line"))
                    return
                yield from first
                yield from sources
        except OSError as error:
            yield Source(path, _failed(path, f"the list cannot be read ({error.strerror})", None))

    def listed(self, stream: BinaryIO, origin: str) -> Iterator[Source]:
        """Yield the files of an opened list, by names relative to the working directory, else to the list."""
        folder = os.path.dirname(origin)
        try:
            for name in list_entries(stream, origin):
                if name is None:
                    yield PAUSE
                elif folder and "\0" not in name and not os.path.lexists(name):
                    beside = os.path.join(folder, name)
                    yield from self.named(beside if os.path.lexists(beside) else name)
                else:
                    yield from self.named(name)
        except InputError as error:
            yield Source(origin, error)

    def named(self, path: str) -> Iterator[Source]:
        """Yield the files that one named path stands for; if there are none, yield the reason."""
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError) as error:
            pattern = glob.has_magic(path) and "\0" not in path
            matches = sorted(glob.glob(path, recursive=True)) if pattern else []
            # With **, the contents of matching folders are already among the matches.
            wanted = [name for name in matches if not ("**" in path and os.path.isdir(name))]
            if not wanted:
                yield Source(path, _missing(path, error))
            for name in wanted:
                yield from self.named(name)
            return
        if stat.S_ISDIR(mode):
            yield from self.folder(path, ())
        elif stat.S_ISREG(mode):
            yield Source(path)
        else:
            yield Source(path, _special(path, mode))

    def folder(
        self, path: str, above: tuple[tuple[int, int], ...], through_link: bool = False
    ) -> Iterator[Source]:
        """Yield the image files below a folder; `above` are its parent folders, so that link loops end."""
        try:
            status = os.stat(path)
            here = (status.st_dev, status.st_ino)
            if here in above:
                return
            if through_link:
                self.visits[here] += 1
                if self.visits[here] > _MOST_VISITS:
                    self.passed_over.add(path, f"folder linked more than {_MOST_VISITS} times")
                    return
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            reason = f"the folder cannot be listed ({error.strerror})"
            yield Source(path, _failed(path, reason, "check its permissions"))
            return
        # An entry keeps what was asked of it: taken from the list, millions of them cost no memory.
        while entries:
            entry = entries.pop()
            if _is_folder(entry):
                yield from self.folder(entry.path, (*above, here), through_link or entry.is_symlink())
            else:
                yield from self.sniffed(entry)

    def sniffed(self, entry: os.DirEntry[str]) -> Iterator[Source]:
        """Yield a folder's entry if it is an image, claims to be one, or cannot be opened and may be one."""
        path = entry.path
        try:
            status = entry.stat()
            if not stat.S_ISREG(status.st_mode):
                # Never opened: a pipe without a writer would block, a device may do anything.
                if claims_image(entry.name):
                    yield Source(path, _special(path, status.st_mode))
                else:
                    self.passed_over.add(path, _kind_of(status.st_mode))
                return
            head = head_of(path, status)
        except OSError as error:
            yield Source(path, _unopened(entry, error))
            return
        reason = _passed_over(entry.name, head)
        if reason is None:
            yield Source(path)
        else:
            self.passed_over.add(path, reason)


def _passed_over(name: str, head: bytes) -> str | None:
    """Return why a file of a folder is passed over; None if it is to be read, or refused with its reason."""
    if is_dicomdir(head):
        return "DICOMDIR index"
    if content_of(head):
        return None
    # Copies from a Mac have a ._NAME beside every NAME.
    if name.startswith("._") and other_content(head) in ("metadata of macOS", "empty"):
        return "metadata of macOS"
    return None if claims_image(name) else "not an image"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link to itself, or into a locked folder: `sniffed` yields the error.
        return False


def _unopened(entry: os.DirEntry[str], error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError) and not entry.is_symlink():
        what = "the file vanished while the folder was read"
        return InputError(what, where=entry.path, remedy="run again", kind="missing")
    if isinstance(error, FileNotFoundError) or error.errno == errno.ELOOP:
        return _missing(entry.path, error)
    return _failed(entry.path, f"the file cannot be opened ({error.strerror})", None)


def _missing(path: str, error: Exception) -> InputError:
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return _failed(path, "the symbolic link leads back to itself", "remove or correct the link")
    if isinstance(error, FileNotFoundError | ValueError):
        if "\0" not in path and os.path.islink(path):
            return InputError(
                "the symbolic link leads to nothing", where=path, remedy="correct the link", kind="missing"
            )
        return InputError("no such file or folder", where=path, remedy="check the path", kind="missing")
    return InputError(f"cannot be reached ({getattr(error, 'strerror', error)})", where=path, kind="missing")


def _special(path: str, mode: int) -> InputError:
    return _failed(path, f"it is a {_kind_of(mode)}, not a file", "save the image to a file")


def _kind_of(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "pipe"
    if stat.S_ISSOCK(mode):
        return "socket"
    return "device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "special file"


def _failed(path: str, what: str, remedy: str | None) -> InputError:
    return InputError(what, where=path, remedy=remedy, kind="unreadable")
