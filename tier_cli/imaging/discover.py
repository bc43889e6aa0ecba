"""From paths, folders, globs and lists to the image files they mean, lazily and in a stable order."""

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
    """One file to read, or the reason why it cannot be."""

    path: str
    error: InputError | None = None


def discover(paths: Iterable[str], stdin: TextIO | None = None) -> Iterator[Source]:
    """Yield the files that `paths` mean, in the order given and sorted by name inside folders and globs.

    Parameters
    ----------
    paths
        Files, folders (searched through for DICOM, PNG, JPEG and TIFF, told by content), globs, or ``-`` for
        one path a line on `stdin`.
    stdin
        Where ``-`` reads from; without it ``-`` is a file name like any other.
    """
    for path in paths:
        if path == "-" and stdin is not None:
            for line in stdin:
                if name := line.rstrip("\r\n"):
                    yield from _named(name)
        else:
            yield from _named(path)


def _named(path: str) -> Iterator[Source]:
    """Yield what one path given by name means; such a path never vanishes without a word."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        matches = sorted(glob.glob(path, recursive=True)) if glob.has_magic(path) and "\0" not in path else []
        # With ** the folders' content is among the matches already.
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
        yield Source(path, _failed(path, "this is neither a file nor a folder", "save the image to a file"))


def _folder(path: str, above: tuple[tuple[int, int], ...]) -> Iterator[Source]:
    """Yield the image files below a folder; `above` are the folders it lies in, so that link loops end."""
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
        # A link to itself, or into a locked folder: `_sniffed` says what is wrong with it.
        return False


def _sniffed(entry: os.DirEntry[str]) -> Iterator[Source]:
    """Yield a folder's entry if it holds an image, or if it may hold one and cannot be looked into."""
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
