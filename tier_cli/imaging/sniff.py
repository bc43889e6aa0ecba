"""Recognise a file's format by its first bytes; its name only says what it was meant to be."""

from __future__ import annotations

import os
import re
import struct
from typing import Literal

Content = Literal["dicom", "png", "jpeg", "tiff"]

_DICOM_ENDINGS = (".dcm", ".dicom", ".dic", ".dcm.gz", ".dicom.gz")
_IMAGE_ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".gif", ".bmp", ".webp", ".heic", ".avif"),
    *(".jp2", ".j2k", ".j2c", ".jls", ".pgm", ".ppm"),
)
# Modalities and viewers name files by number (IM0001) or by their UID.
_DICOM_NAME = re.compile(r"(im|img|image)[-_]?\d+|[0-2](\.\d+){4,}", re.IGNORECASE)
# Formats that are met under a wrong name; the first bytes of each.
_OTHERS: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("a GIF image", (b"GIF87a", b"GIF89a")),
    ("a BMP image", (b"BM",)),
    ("a gzip archive", (b"\x1f\x8b",)),
    ("a ZIP archive", (b"PK\x03\x04", b"PK\x05\x06")),
    ("a PDF document", (b"%PDF",)),
    ("a JPEG 2000 file", (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51")),
    ("a portable grey map", (b"P2\n", b"P5\n", b"P5 ", b"P6\n")),
    ("a Git LFS pointer", (b"version https://git-lfs",)),
    ("metadata of macOS", (b"\x00\x05\x16\x07",)),
)
_ARCHIVES = ("a gzip archive", "a ZIP archive")
_PICTURES = ("a GIF image", "a BMP image", "a WebP image", "a JPEG 2000 file", "a portable grey map")

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


def claims_image(name: str) -> bool:
    """Return whether a file's name says that it is an image or DICOM."""
    base = os.path.basename(name).lower()
    return base.endswith(_DICOM_ENDINGS + _IMAGE_ENDINGS) or _DICOM_NAME.fullmatch(base) is not None


def other_content(head: bytes) -> str | None:
    """Name the content of a file that is no supported image; None if it is unknown."""
    if not head:
        return "empty"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page"
    return next((what for what, starts in _OTHERS if head.startswith(starts)), None)


def refusal(name: str, head: bytes) -> tuple[str, str]:
    """Return why a file that `content_of` does not recognise is refused, and what to do about it."""
    content = other_content(head)
    base = os.path.basename(name).lower()
    if content == "empty":
        return "the file is empty (0 bytes)", "copy or export it again"
    if content == "a web page":
        return "the file is a web page, not an image", "download it again, signed in where that is needed"
    if content == "a Git LFS pointer":
        return "the file is a Git LFS pointer, not an image", "run `git lfs pull`"
    if content in _ARCHIVES:
        return f"the file is {content}", "unpack it first"
    if content in _PICTURES:
        return f"the file is {content}, whatever its name says", "convert it to PNG, JPEG, TIFF or DICOM"
    if content:
        return f"the file is {content}", "give a DICOM, PNG, JPEG or TIFF file"
    if base.endswith(_DICOM_ENDINGS):
        return "the file holds no DICOM header: it was cut off, or is something else", "export it again"
    if base.endswith(_IMAGE_ENDINGS):
        return (
            "the file holds no image of a supported format",
            "copy it again, or convert it",
        )
    return "the file is not a supported image", "give a DICOM, PNG, JPEG or TIFF file"


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
