"""Read a DICOM file's attributes up to the pixel data; no accessor raises on bad values."""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from tier_cli.errors import InputError
from tier_cli.imaging.limits import MAX_PIXELS

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_IMPLICIT, _EXPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
_PIXEL_DATA = 0x7FE00010
# No attribute used here, look-up tables included, is longer; longer values stay in the file.
_LONGEST = 1 << 22
UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclass(frozen=True)
class Header:
    """The attributes before the pixel data.

    Parameters
    ----------
    dataset
        The data set as pydicom reads it.
    syntax
        The transfer syntax UID, guessed if the file names none.
    file
        The file, or its inflated copy, positioned at the pixel data's value.
    pixel_vr
        Value representation of the pixel data, empty when implicit.
    pixel_length
        Length of the pixel data's value in bytes.
    little_endian
        Byte order of the attributes.
    """

    dataset: Dataset
    syntax: str
    file: BinaryIO
    pixel_vr: str
    pixel_length: int
    little_endian: bool

    def text(self, keyword: str) -> str:
        """Return an attribute's first value as text; empty if absent or invalid."""
        return next(iter(self.texts(keyword)), "")

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Return all values of an attribute as text."""
        return tuple(str(value).strip() for value in values_of(self.dataset, keyword))

    def code(self, keyword: str) -> str:
        """Return a coded value in upper case; nothing else may appear in a message."""
        return coded_of(self.dataset, keyword)

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Return all values of an attribute as numbers, NaN for a value that is not a number."""
        return numbers_of(self.dataset, keyword)

    def whole(self, keyword: str, default: int) -> int:
        """Return an attribute's value as an integer, `default` if absent."""
        values = self.numbers(keyword)
        return int(values[0]) if values and math.isfinite(values[0]) else default

    def items(self, keyword: str) -> tuple[Dataset, ...]:
        """Return the items of a sequence."""
        return tuple(item for item in values_of(self.dataset, keyword) if hasattr(item, "get"))


def values_of(dataset: Dataset, keyword: str) -> Sequence[Any]:
    """Return an attribute's values; none if it is absent, empty or invalid."""
    try:
        value = dataset.get(keyword)
    except Exception:  # noqa: BLE001 - pydicom converts lazily and can raise anything; the value is then useless
        return ()
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        return (value,)
    return value


def numbers_of(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return an attribute's values as numbers, NaN for a value that is not a number."""
    return tuple(_number(value) for value in values_of(dataset, keyword))


def coded_of(dataset: Dataset, keyword: str) -> str:
    """Return an attribute's first value in upper case if it can be a code, else an empty text."""
    text = str(next(iter(values_of(dataset, keyword)), "")).strip().upper()
    # Free text in a coded attribute must not reach a message.
    return text if re.fullmatch(r"[A-Z0-9_ .,()/+-]{1,64}", text) else ""


def read_header(raw: BinaryIO, path: str) -> Header:
    """Read an opened DICOM file's attributes up to its pixel data, which must be present."""
    from pydicom import dcmread

    if _DEFLATED in raw.read(1024):
        raw = _inflated(raw, path)
    raw.seek(0)
    dataset = dcmread(raw, stop_before_pixels=True, force=True, defer_size=_LONGEST)
    implicit, little_endian = dataset.original_encoding
    syntax = str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "") or "")
    if not syntax:
        syntax = _IMPLICIT if implicit else _EXPLICIT if little_endian else _BIG_ENDIAN
    order: Literal["little", "big"] = "little" if little_endian else "big"
    start = raw.read(8 if implicit else 12)
    tag = int.from_bytes(start[:2], order) << 16 | int.from_bytes(start[2:4], order)
    if tag != _PIXEL_DATA or len(start) < 8:
        raise InputError(
            "the file contains no image", where=path, remedy="give an image file", kind="not_an_image"
        )
    length = int.from_bytes(start[-4:], order)
    vr = "" if implicit else start[4:6].decode("latin-1")
    return Header(dataset, syntax, raw, vr, length, bool(little_endian))


def _inflated(raw: BinaryIO, path: str) -> BinaryIO:
    """Return a deflated file's data set, without file meta, as an in-memory file of bounded size."""
    raw.seek(132 + 8)
    raw.seek(132 + 12 + int.from_bytes(raw.read(4), "little"))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    content = inflater.decompress(raw.read(), 2 * MAX_PIXELS)
    if inflater.unconsumed_tail:
        raise InputError(
            "the file inflates to more than the largest image allowed",
            where=path,
            remedy="save it without deflate compression",
            kind="too_large",
        )
    return io.BytesIO(content)


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
