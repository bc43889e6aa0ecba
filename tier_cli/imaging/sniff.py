"""Recognise a file's format by its first bytes, never by its name."""

from __future__ import annotations

import re
import struct
from typing import Literal

Content = Literal["dicom", "png", "jpeg", "tiff"]

HEAD_BYTES = 1024
DICOMDIR = "1.2.840.10008.1.3.10"
_VRS = frozenset(re.findall("..", "AEASATCSDADSDTFDFLISLOLTOBODOFOLOVOWPNSHSLSQSSSTSVTMUCUIULUNURUSUTUV"))
_LONG_VRS = frozenset(re.findall("..", "OBODOFOLOVOWSQSVUCUNURUTUV"))


def content_of(head: bytes) -> Content | None:
    """Return the format by a file's first `HEAD_BYTES` bytes; None if it is not a supported image."""
    if head[128:132] == b"DICM":
        return "dicom"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return "tiff"
    return "dicom" if _is_bare_dataset(head) else None


def is_dicomdir(head: bytes) -> bool:
    """Return whether a DICOM file is a media directory, an index without pixels."""
    return head[128:132] == b"DICM" and DICOMDIR.encode() in head


def _is_bare_dataset(head: bytes) -> bool:
    """Return whether DICOM elements begin at once, without the prefix, in any of the three encodings."""
    return any(
        _elements_follow(head, order, explicit)
        for order, explicit in (("<", True), ("<", False), (">", True))
    )


def _elements_follow(head: bytes, order: str, explicit: bool) -> bool:
    """Return whether at least two elements with rising tags follow, the first in group 2 or 8."""
    position, last, seen = 0, -1, 0
    while position + 12 <= len(head) and seen < 4:
        group, element = struct.unpack_from(f"{order}HH", head, position)
        tag = group << 16 | element
        if tag <= last or (seen == 0 and group not in (0x0002, 0x0008)):
            return False
        size = _element_size(head, position, order, explicit)
        if size is None:
            return False
        # Elements of group 2 are always explicit little endian; later ones need not be.
        position, last, seen = position + size, tag, seen + 1
    return seen >= 2


def _element_size(head: bytes, position: int, order: str, explicit: bool) -> int | None:
    """Return the number of bytes to the next element, or None if no plausible element begins here."""
    if not explicit:
        length = int(struct.unpack_from(f"{order}I", head, position + 4)[0])
        return 8 + length if length <= 0x10000 or length == 0xFFFFFFFF else None
    vr = head[position + 4 : position + 6].decode("latin-1")
    if vr not in _VRS:
        return None
    if vr in _LONG_VRS:
        return 12 + int(struct.unpack_from(f"{order}I", head, position + 8)[0])
    return 8 + int(struct.unpack_from(f"{order}H", head, position + 6)[0])
