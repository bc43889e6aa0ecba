"""Keep freed memory in the process, because page faults can cost more than the arithmetic."""

from __future__ import annotations

import ctypes
import sys

# glibc, malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD_BYTES = 256 * 1024 * 1024


def keep_freed_memory() -> bool:
    """Tell glibc to reuse freed blocks instead of returning them to the kernel.

    A convolutional training step allocates and frees hundreds of megabytes; with glibc's defaults every step
    faults those pages in anew. Returns whether glibc accepted the setting; other C libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    accepted = [
        mallopt(_M_MMAP_MAX, 0),
        mallopt(_M_TRIM_THRESHOLD, -1),
        mallopt(_M_TOP_PAD, _TOP_PAD_BYTES),
    ]
    return all(accepted)
