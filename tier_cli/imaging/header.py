"""Read a DICOM file's attributes up to the pixel data; no accessor raises on bad values."""

from __future__ import annotations

import io
import math
import re
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from tier_cli.errors import InputError
from tier_cli.imaging.codestream import ITEM
from tier_cli.imaging.limits import MAX_PIXELS, costly
from tier_cli.imaging.sniff import DICOMDIR
from tier_cli.late_imports import imported_later

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

DEFLATED = b"1.2.840.10008.1.2.1.99"
_IMPLICIT, _EXPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
_PIXEL_DATA = 0x7FE00010
_FLOAT_PIXELS = (0x7FE00008, 0x7FE00009)
_PIXEL_VRS = (b"OB", b"OW", b"UN")
# Value representations with a length of 32 bits (PS3.5 7.1.2).
_LONG_VRS = tuple(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
# No attribute used here, look-up tables included, is longer; longer values stay in the file.
_LONGEST = 1 << 22
# Look-up tables are numbers of fixed size. Other values are texts and sequences, converted piece by piece.
_TABLE_VRS = ("OB", "OW", "UN", "US", "SS")
_LONGEST_TEXT, _LONGEST_SEQUENCE, _MOST_ITEMS = 1 << 16, 1 << 20, 10_000
# Two or three are needed for each element and item before the pixel data.
_MOST_READS = 50_000
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

    @property
    def sop_class(self) -> str:
        """The SOP class UID of the data set, else that of the file meta information."""
        return self.text("SOPClassUID") or _of_meta(self.dataset, "MediaStorageSOPClassUID")

    @property
    def has_embedded_overlay(self) -> bool:
        """Whether an overlay lies in the unused bits of the pixels (retired, PS3.3-2004 C.9.2)."""
        overlays = (self.dataset.get((group, 0x0102)) for group in range(0x6000, 0x6020, 2))
        return any(overlay is not None and overlay.value for overlay in overlays)

    def text(self, keyword: str) -> str:
        """Return an attribute's first value as text; empty if absent or invalid."""
        return next(iter(self.texts(keyword)), "")

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Return all values of an attribute as text."""
        return tuple(map(_as_text, values_of(self.dataset, keyword)))

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
    """Return an attribute's values; none if it is absent, empty or invalid.

    Raises
    ------
    InputError
        Of kind ``costly``, if it is far longer than such an attribute ever is.
    """
    _check_cost(dataset, keyword)
    try:
        value = dataset.get(keyword)
    except Exception:  # noqa: BLE001 - pydicom converts lazily and can raise anything; the value is then useless
        return ()
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        return (value,)
    return value


def _check_cost(dataset: Dataset, keyword: str) -> None:
    """Refuse a value that would take long to convert; pydicom converts it when it is first asked for."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.dataelem import RawDataElement

    tag = tag_for_keyword(keyword)
    element: object = None if tag is None else dataset.get_item(tag, keep_deferred=True)
    if tag is None or not isinstance(element, RawDataElement) or element.length <= _LONGEST_TEXT:
        return
    known = dictionary_VR(tag)
    if known == "SQ":
        too_many = element.length > _LONGEST_SEQUENCE or (element.value or b"").count(ITEM) > _MOST_ITEMS
    else:
        too_many = element.length > (_LONGEST if known.startswith(_TABLE_VRS) else _LONGEST_TEXT)
    if too_many:
        raise costly(f"{keyword} is {element.length:,} bytes long")


def numbers_of(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return an attribute's values as numbers, NaN for a value that is not a number."""
    return tuple(_number(value) for value in values_of(dataset, keyword))


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return an attribute's first value as text; empty if it is absent or invalid."""
    return _as_text(next(iter(values_of(dataset, keyword)), ""))


def _as_text(value: object) -> str:
    """Return a value as text; UTF-8 that was read as Latin-1, as in code strings, is repaired."""
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    if not text.isascii():
        with suppress(UnicodeError):
            text = text.encode("latin-1").decode("utf-8")
    return text.strip(" \0\t\r\n")


def coded_of(dataset: Dataset, keyword: str) -> str:
    """Return an attribute's first value in upper case if it can be a code, else an empty text."""
    text = text_of(dataset, keyword).upper()
    # Free text in a coded attribute must not reach a message.
    return text if re.fullmatch(r"[A-Z0-9_ .,()/+-]{1,64}", text) else ""


def read_header(raw: BinaryIO, path: str) -> Header:
    """Read an opened DICOM file's attributes up to its pixel data, which must be present."""
    import_pydicom()
    from pydicom import dcmread

    if DEFLATED in raw.read(1024):
        raw = _inflated(raw, path)
    raw.seek(0)
    metered = _Metered(raw)
    try:
        dataset = dcmread(metered, stop_before_pixels=True, force=True, defer_size=_LONGEST)
    except (EOFError, struct.error):
        # pydicom raises these if not even the length of an attribute is complete.
        raise ends_early("the file is cut off in its header", path) from None
    except Exception:
        metered.check()
        raise
    _, little_endian = dataset.original_encoding
    order: Literal["little", "big"] = "little" if little_endian else "big"
    start = raw.read(8)
    tag = int.from_bytes(start[:2], order) << 16 | int.from_bytes(start[2:4], order)
    if tag != _PIXEL_DATA or len(start) < 8:
        raise _without_image(dataset, tag, path)
    # Some files are implicit under an explicit syntax, or the reverse; pydicom reads them as they are and
    # reports what the syntax says. A length is even, and these two letters, read as a length, are odd.
    vr = start[4:6].decode("latin-1") if start[4:6] in _PIXEL_VRS else ""
    length = int.from_bytes(raw.read(4) if vr else start[4:], order)
    syntax = _of_meta(dataset, "TransferSyntaxUID")
    if not syntax:
        syntax = _EXPLICIT if vr and little_endian else _BIG_ENDIAN if vr else _IMPLICIT
    return Header(dataset, syntax, raw, vr, length, bool(little_endian))


class _Metered:
    """A file that may be read only so many times: pydicom reads each element and each item by itself."""

    def __init__(self, file: BinaryIO):
        self._file, self._left = file, _MOST_READS
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Read from the file, unless that has been done too often."""
        self._left -= 1
        self.check()
        return self._file.read(size)

    def check(self) -> None:
        """Raise `InputError` of kind ``costly`` if no reads are left; pydicom hides the first such error."""
        if self._left < 0:
            raise costly("the header has far more elements than that of an image")


def import_pydicom() -> None:
    """Import pydicom without what it downloads test data with.

    That takes as long to import as the reader of files, and opens a socket: urllib3 looks whether IPv6 works.
    """
    with imported_later("pydicom.data.download"):
        import pydicom  # noqa: F401


def _of_meta(dataset: Dataset, keyword: str) -> str:
    return str(getattr(dataset, "file_meta", {}).get(keyword, "") or "")


def _without_image(dataset: Dataset, tag: int, path: str) -> InputError:
    """Return why a file has no pixel data where the attributes end."""
    if DICOMDIR in (_of_meta(dataset, "MediaStorageSOPClassUID"), text_of(dataset, "SOPClassUID")):
        remedy = "give the image files that it lists"
        return InputError(
            "the file is a DICOMDIR, an index without images", where=path, remedy=remedy, kind="not_an_image"
        )
    if tag in _FLOAT_PIXELS:
        return InputError(
            "the pixel data are floating-point numbers of unknown range",
            where=path,
            remedy="give an image of 8 to 16 bits",
            kind="photometric",
        )
    if _is_cut_off(dataset):
        return ends_early("the file is cut off in its header", path)
    if numbers_of(dataset, "Rows") or "BitsAllocated" in dataset:
        # An image whose pixels were stripped, or a file cut off between two attributes.
        what = "the file describes an image but contains no pixel data"
        return InputError(what, where=path, remedy="copy or export the file again", kind="not_an_image")
    return InputError(
        "the file contains no image", where=path, remedy="give an image file", kind="not_an_image"
    )


def ends_early(what: str, path: str) -> InputError:
    """Return the error of a truncated file."""
    return InputError(what, where=path, remedy="copy or export the file again", kind="unreadable")


def tail_fault(header: Header) -> str:
    """Return what is wrong with what follows the pixel data, where the file is positioned; "" if nothing.

    Attributes, padding with zeros or nothing may follow (PS3.5 7.1). Anything else means that the length of
    the pixel data is wrong, or that bytes were lost or gained.
    """
    start = header.file.tell()
    head = header.file.read(12)
    if not head.strip(b"\0") or len(head) < 8:
        return ""
    order: Literal["little", "big"] = "little" if header.little_endian else "big"
    group, vr = int.from_bytes(head[:2], order), head[4:6]
    if vr in _LONG_VRS:
        length, size = int.from_bytes(head[8:12], order), 12
    elif vr.isalpha() and vr.isupper():
        length, size = int.from_bytes(head[6:8], order), 8
    else:
        length, size = int.from_bytes(head[4:8], order), 8
    end = header.file.seek(0, 2)
    fits = length == UNDEFINED_LENGTH or start + size + length <= end
    return "" if fits and group >= _PIXEL_DATA >> 16 else "what follows it is no attribute"


def _is_cut_off(dataset: Dataset) -> bool:
    """Return whether the last attribute is shorter than its length says, or the data set is empty."""
    last = max(dataset.keys(), default=None)
    if last is None:
        return True
    element = dataset.get_item(last)
    length = getattr(element, "length", None)
    value = getattr(element, "value", None)
    return isinstance(value, bytes) and length not in (None, UNDEFINED_LENGTH) and len(value) < int(length)


def _inflated(raw: BinaryIO, path: str) -> BinaryIO:
    """Return a deflated file's data set, without file meta, as an in-memory file of bounded size."""
    raw.seek(132 + 8)
    raw.seek(132 + 12 + int.from_bytes(raw.read(4), "little"))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    content = inflater.decompress(raw.read(2 * MAX_PIXELS), 2 * MAX_PIXELS)
    if inflater.unconsumed_tail or raw.read(1):
        raise InputError(
            "the file inflates to more than the largest image allowed",
            where=path,
            remedy="save it without deflate compression",
            kind="too_large",
        )
    if not inflater.eof:
        raise ends_early("the deflated data are truncated", path)
    return io.BytesIO(content)


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
