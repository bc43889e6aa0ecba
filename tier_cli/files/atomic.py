"""Write files and folders that are either whole or absent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tier_cli.errors import StorageError, UsageError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` to write to, and move the file to `path` when the block ends.

    If the block raises, the temporary file is deleted and `path` stays as it was. The name is unique, so that
    several processes, even on several machines, may write the same file at the same time. The content is on
    the disk before the move. A link at `path` is replaced; resolve it first to replace what it points to.

    Parameters
    ----------
    path
        The file to write; its folder must exist.
    """
    partial = _partial(path)
    try:
        yield partial
        move_whole(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill, and move it to `path` when the block ends.

    If the block raises, everything written is deleted. The folder to fill already has the name of `path`,
    which files in it may quote; it lies in a temporary folder beside `path`.

    Parameters
    ----------
    path
        The folder to write: absent or empty, see `check_new_folder`. Its parent must exist.
    """
    path = path.absolute()
    scratch = _partial(path)
    folder = scratch / path.name
    try:
        folder.mkdir(parents=True)
        yield folder
        for file in folder.rglob("*"):
            if file.is_file():
                _sync(file)
        folder.replace(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_new_folder(folder: Path, *, parents: bool = False) -> None:
    """Refuse a folder that already holds something.

    Parameters
    ----------
    folder
        The folder that is going to be written.
    parents
        Whether the folders above it may be missing, because they will be created.

    Raises
    ------
    UsageError
        It is a file, or a folder that is not empty, or the folder above it is missing.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise UsageError("already exists", where=str(folder), remedy="name a new or empty folder")
    if not parents and not folder.absolute().parent.is_dir():
        raise UsageError(
            "no such folder", where=str(folder.parent), remedy="create it, or check the name of the output"
        )


def move_whole(partial: Path, path: Path) -> None:
    """Move a complete file to its final place once its content is on the disk."""
    _sync(partial)
    partial.replace(path)


def create_private(path: Path) -> BinaryIO:
    """Create a file that only its owner may read, and open it for writing; an existing one is an error."""
    # From the start: no moment in which others could open it.
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


@contextmanager
def folder_errors(folder: Path, remedy: str) -> Iterator[None]:
    """Raise every error of the system in the block as `StorageError` of a folder."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot be written to: {error.strerror or 'unknown reason'}", where=str(folder), remedy=remedy
        ) from error


def sync_folder(folder: Path) -> None:
    """Make sure that a new file is still there after a power failure, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_partial(folder: Path) -> None:
    """Delete the unfinished files and folders that killed processes left in `folder`.

    Only for a folder that no other process writes to.
    """
    for left in folder.glob(".*.partial"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}.partial")


def _sync(file: Path) -> None:
    # Not "rb": Windows flushes only files that are open for writing.
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())
