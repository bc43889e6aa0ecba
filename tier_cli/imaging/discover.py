"""Find the image files among paths, folders, globs and lists, lazily and in a stable order."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TextIO

from tier_cli.errors import InputError
from tier_cli.imaging.sniff import HEAD_BYTES, content_of, is_dicomdir


@dataclass(frozen=True)
class Source:
    """One file to read, or the reason why it cannot be read.

    Parameters
    ----------
    path
        The file as given or found.
    error
        The reason; None if the file can be read.
    """

    path: str
    error: InputError | None = None


def discover(paths: Iterable[str], stdin: TextIO | None = None) -> Iterator[Source]:
    """Yield the files that `paths` stand for, in the given order, sorted by name within folders and globs.

    Parameters
    ----------
    paths
        Files, folders (searched for DICOM, PNG, JPEG and TIFF files, recognised by content), globs, or ``-``
        for one path per line on `stdin`.
    stdin
        The stream that ``-`` reads; if None, ``-`` is an ordinary file name.
    """
    for path in paths:
        if path == "-" and stdin is not None:
            for line in stdin:
                if name := line.rstrip("\r\n"):
                    yield from _named(name)
        else:
            yield from _named(path)


def _named(path: str) -> Iterator[Source]:
    """Yield the files that one named path stands for; if there are none, yield the reason."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        matches = sorted(glob.glob(path, recursive=True)) if glob.has_magic(path) and "\0" not in path else []
        # With **, the contents of matching folders are already among the matches.
        wanted = [name for name in matches if not ("**" in path and os.path.isdir(name))]
        if not wanted:
            yield Source(path, _missing(path, error))
        for name in wanted:
            yield from _named(name)
        return
    if stat.S_ISDIR(mode):
        yield from _folder(path, ())
    elif stat.S_ISREG(mode):
        yield Source(path)
    else:
        yield Source(path, _failed(path, "it is neither a file nor a folder", "save the image to a file"))


def _folder(path: str, above: tuple[tuple[int, int], ...]) -> Iterator[Source]:
    """Yield the image files below a folder; `above` are its parent folders, so that link loops end."""
    try:
        status = os.stat(path)
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        with os.scandir(path) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield Source(
            path, _failed(path, f"the folder cannot be listed ({error.strerror})", "check its permissions")
        )
        return
    for entry in entries:
        if _is_folder(entry):
            yield from _folder(entry.path, (*above, here))
        else:
            yield from _sniffed(entry)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link to itself, or into a locked folder: `_sniffed` yields the error.
        return False


def _sniffed(entry: os.DirEntry[str]) -> Iterator[Source]:
    """Yield a folder's entry if it is an image, or if it cannot be opened and may be one."""
    try:
        if not stat.S_ISREG(entry.stat().st_mode):
            return
        with open(entry.path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError as error:
        yield Source(entry.path, _missing(entry.path, error))
    except OSError as error:
        yield Source(entry.path, _failed(entry.path, f"the file cannot be opened ({error.strerror})", None))
    else:
        if content_of(head) and not is_dicomdir(head):
            yield Source(entry.path)


def _missing(path: str, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError | ValueError):
        return InputError("no such file or folder", where=path, remedy="check the path", kind="missing")
    return InputError(f"cannot be reached ({getattr(error, 'strerror', error)})", where=path, kind="missing")


def _failed(path: str, what: str, remedy: str | None) -> InputError:
    return InputError(what, where=path, remedy=remedy, kind="unreadable")
