"""Open files for reading without ever waiting for another program."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from tier_cli.imaging.sniff import HEAD_BYTES


def open_file(path: str) -> BinaryIO:
    """Open a regular file for bytes.

    Raises
    ------
    OSError
        If there is none, it cannot be opened, or a pipe or a device has taken its place.
    """
    return open(path, "rb", opener=_without_waiting)


def head_of(path: str, status: os.stat_result, size: int = HEAD_BYTES) -> bytes:
    """Return the first bytes of a regular file with that status, enough to recognise its format."""
    if status.st_size == 0:
        # Not opened: some files of the system have no size, and block whoever reads them.
        return b""
    with open_file(path) as file:
        return file.read(size)


def _without_waiting(path: str, flags: int) -> int:
    # A pipe without a writer would block.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor
