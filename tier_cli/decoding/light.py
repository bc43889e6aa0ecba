"""Tell which files may be decoded without a process of their own: small ones with safe decoders."""

from __future__ import annotations

import os
import re
import stat

from tier_cli.imaging.header import DEFLATED
from tier_cli.imaging.opening import open_file
from tier_cli.imaging.sniff import HEAD_BYTES, content_of

_LARGEST = 16_000_000
# A fragment of pixel data that begins as JPEG of any kind, but not as JPEG 2000: GDCM, which decodes
# lossless JPEG, crashes on some broken streams.
_JPEG_FRAGMENT = re.compile(rb"\xfe\xff\x00\xe0.{4}\xff(?!\x4f)", re.DOTALL)


def is_light(path: str) -> bool:
    """Return whether reading a file costs little and crashes nothing, whatever it holds.

    That is a file of at most 16 MB that is PNG, JPEG or DICOM, unless its pixel data are JPEG or the file is
    deflated; and a file that is refused at once.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return True
        if status.st_size == 0:
            # Not opened: see `head_of`.
            return True
        if status.st_size > _LARGEST:
            return False
        with open_file(path) as file:
            content = file.read(_LARGEST)
    except (OSError, ValueError):
        return True
    head = content[:HEAD_BYTES]
    kind = content_of(head)
    if kind == "dicom":
        return DEFLATED not in head and _JPEG_FRAGMENT.search(content) is None
    return kind != "tiff"
