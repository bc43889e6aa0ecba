"""Check compressed frames before they are decoded: completeness, size and bit depth.

GDCM, the only free decoder of lossless JPEG, crashes the process on some broken headers, and any decoder may
allocate as much memory as a header asks for. Headers are therefore checked here before a decoder sees them.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from tier_cli.imaging.limits import costly

ITEM = b"\xfe\xff\x00\xe0"
_DELIMITER = b"\xfe\xff\xdd\xe0"
# Begins a scan of a JPEG image; compressed data never contain it.
SCAN = b"\xff\xda"
# Makers who cut a frame at all cut it into pieces of some kilobytes.
_MOST_FRAGMENTS = 100_000
_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
SOC_SIZ = b"\xff\x4f\xff\x51"
_CAP = b"\xff\x50"  # extended capabilities: high-throughput JPEG 2000 (ISO/IEC 15444-15)
_EOI = b"\xff\xd9"  # ends a JPEG, a JPEG-LS and a JPEG 2000 image
SOT = b"\xff\x90"
# Within entropy-coded data, FF is followed by 0 unless it begins a marker (ISO/IEC 10918-1 B.1.1.5).
_MARKER = re.compile(rb"\xff[\x01-\xfe]")
# Some writers leave a few bytes behind the end.
_FEW_BYTES = 16
_DHT, _SOS, _JPEG_LS_FRAME = 0xC4, 0xDA, 0xF7
# C0 to CF except DHT, JPG and DAC; F7 is JPEG-LS.
_START_OF_FRAME = (frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, 0xCC}) | {_JPEG_LS_FRAME}
_JPEG, _JPEG_2000, _HTJ2K = "1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.20"
# The lossy syntax first: its values are clipped to the stored bits, which changes no lossless one.
_SYNTAXES = {
    0xC0: (f"{_JPEG}50", f"{_JPEG}51"),
    0xC1: (f"{_JPEG}51", f"{_JPEG}50"),
    0xC2: (f"{_JPEG}51", f"{_JPEG}50"),
    0xC3: (f"{_JPEG}57", f"{_JPEG}70"),
    _JPEG_LS_FRAME: (f"{_JPEG}81", f"{_JPEG}80"),
}
# Other segments allowed before the scan: tables, restart interval, JPEG-LS parameters, APPn, comments.
_OTHER_SEGMENTS = frozenset({0xDB, 0xDD, 0xF8, 0xFE, *range(0xE0, 0xF0)})

_BETWEEN_SCANS = _OTHER_SEGMENTS | {_DHT, _SOS, 0xDC}  # DC states the number of lines


@dataclass(frozen=True)
class Codestream:
    """A compressed frame and the values in its own header.

    Parameters
    ----------
    content
        The frame.
    height, width, samples
        Its size and the number of samples per pixel.
    precision
        Bits per sample.
    syntaxes
        The transfer syntaxes that such a frame may have; the first also fits where the header errs.
    signed
        Whether the samples are signed, which only JPEG 2000 can state.
    precision_at
        Where the frame states the bits per sample of a JPEG image.
    """

    content: bytes
    height: int
    width: int
    samples: int
    precision: int
    syntaxes: tuple[str, ...]
    signed: bool = False
    precision_at: int = 0

    @property
    def is_jpeg_2000(self) -> bool:
        """Whether the frame is JPEG 2000, high-throughput or not."""
        return self.content.startswith((SOC_SIZ, _JP2_SIGNATURE))


def codestream_of(frame: bytes) -> Codestream | None:
    """Read the header of a JPEG, JPEG-LS or JPEG 2000 frame; None if it is broken or another kind."""
    try:
        return _j2k(frame) if frame.startswith((SOC_SIZ, _JP2_SIGNATURE)) else _jpeg(frame)
    except (struct.error, IndexError):
        return None


def is_rle(frame: bytes) -> bool:
    """Return whether a frame begins as RLE does: 1 to 15 segments, the first after 64 bytes (PS3.5 G.5)."""
    return frame[4:8] == b"\x40\0\0\0" and frame[1:4] == bytes(3) and 1 <= frame[0] <= 15


def without_padding(frame: bytes) -> bytes:
    """Return a frame without zero bytes before its end marker, which some JPEG-LS decoders refuse."""
    end = frame.rfind(_EOI)
    return frame if end < 0 else frame[:end].rstrip(b"\0") + frame[end:]


def scan_fault(frame: bytes) -> str:
    """Return what is wrong with the markers behind the header of a JPEG or JPEG 2000 image; "" if nothing.

    Decoders fill what they cannot decode and say nothing. Those of JPEG-LS do check, and need no help.
    """
    if frame.startswith((SOC_SIZ, _JP2_SIGNATURE)):
        return _tiles_fault(frame)
    position, restarts = _first_scan(frame)[0], 0
    for found in _MARKER.finditer(frame, position):
        marker, end = found[0][-1], found.end()
        if found.start() < position:
            continue
        if marker == _EOI[1]:
            return "" if len(frame[end:].strip(b"\0\xff")) <= _FEW_BYTES else "it ends too early"
        if 0xD0 <= marker <= 0xD7:
            if marker != 0xD0 + restarts % 8:
                return "its restart markers are out of order"
            restarts += 1
        elif marker in _BETWEEN_SCANS:
            # Tables and the headers of further scans, each of which counts its restarts anew.
            position, restarts = end + int.from_bytes(frame[end : end + 2], "big"), 0
        else:
            return "it contains a marker that cannot be there"
    return "its end is missing"


def tidied(frame: bytes) -> bytes:
    """Return a JPEG image without what libjpeg warns of though it harms nothing.

    That is zeros before the end marker, and values of the scan header that sequential images do not use: some
    writers do not set them to 0, 63 and 0 (ISO/IEC 10918-1 table B.3).
    """
    frame = without_padding(frame)
    position, process = _first_scan(frame)
    return frame[: position - 3] + b"\0\x3f\0" + frame[position:] if process in (0xC0, 0xC1) else frame


def _first_scan(frame: bytes) -> tuple[int, int]:
    """Return where the entropy-coded data of a JPEG image begin, and the marker of its start of frame."""
    position, process = 2, 0
    while frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
        if marker in _START_OF_FRAME:
            process = marker
        if marker == _SOS:
            break
    return position, process


def _tiles_fault(frame: bytes) -> str:
    """Follow the lengths of the tile-parts (ISO/IEC 15444-1 A.4.2), which lead to the end marker."""
    position = frame.find(SOC_SIZ) + 2
    while frame[position : position + 2] != SOT:
        if frame[position : position + 1] != b"\xff":
            return "its header is broken"
        position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    while frame[position : position + 2] == SOT:
        length = int.from_bytes(frame[position + 6 : position + 10], "big")
        if length == 0:  # the last tile-part extends to the end
            return "" if _EOI in frame[-4:] else "its end is missing"
        position += length
    return "" if frame[position : position + 2] == _EOI else "the lengths of its parts do not lead to its end"


def encapsulation_fault(file: BinaryIO, frames: int) -> str:
    """Return what is wrong with the offset table and the fragments at the file's position (PS3.5 A.4).

    The file is then at the end of the fragments and of their delimiter.

    Raises
    ------
    InputError
        Of kind ``costly``, if they are far too many.
    """
    position = file.tell()
    end = file.seek(0, 2)
    starts: set[int] = set()
    table, first = b"", -1
    while True:
        if len(starts) > _MOST_FRAGMENTS:
            raise costly(f"the pixel data have more than {_MOST_FRAGMENTS:,} fragments")
        file.seek(position)
        head = file.read(8)
        if head[:4] != ITEM or len(head) < 8:
            break
        length = int.from_bytes(head[4:], "little")
        if first < 0:
            table, first = file.read(length if length <= end - position else 0), position + 8 + length
        else:
            starts.add(position - first)
        position += 8 + length
    file.seek(position + (8 if head[:4] == _DELIMITER else 0))
    if position > end:
        return "it is truncated"
    offsets = struct.unpack(f"<{len(table) // 4}I", table[: len(table) // 4 * 4])
    if len(table) % 4 or (
        offsets and (offsets[0] or len(offsets) > frames or not starts.issuperset(offsets))
    ):
        return "its offset table does not fit its fragments"
    return ""


def _jpeg(frame: bytes) -> Codestream | None:
    """Read the segments (ISO/IEC 10918-1 annex B) up to the first scan, which needs all of them."""
    if frame[:2] != b"\xff\xd8":
        return None
    position, found, decodable = 2, None, False
    while frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        (length,) = struct.unpack_from(">H", frame, position + 2)
        segment = frame[position + 4 : position + 2 + length]
        if marker == _SOS:
            return found if found and decodable and len(segment) >= 6 else None
        if marker in _START_OF_FRAME and not found:
            precision, height, width, samples = struct.unpack_from(">BHHB", segment)
            found = Codestream(
                frame, height, width, samples, precision, _SYNTAXES.get(marker, ()), precision_at=position + 4
            )
            decodable = decodable or marker == _JPEG_LS_FRAME
        elif marker == _DHT and _is_huffman(segment):
            decodable = True
        elif marker not in _OTHER_SEGMENTS:
            return None
        position += 2 + length
    return None


def _is_huffman(segment: bytes) -> bool:
    """Return whether a segment holds Huffman tables: 16 counts each, then as many symbols."""
    while segment:
        counts = segment[1:17]
        # There are 2**n codes of n bits, minus those that begin with a shorter code.
        if len(counts) < 16 or sum(count << (15 - n) for n, count in enumerate(counts)) > 1 << 16:
            return False
        size = 17 + sum(counts)
        if len(segment) < size:
            return False
        segment = segment[size:]
    return True


def _j2k(frame: bytes) -> Codestream | None:
    start = frame.find(SOC_SIZ)
    if start < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", frame, start + 8)
    (samples,) = struct.unpack_from(">H", frame, start + 40)
    (length,) = struct.unpack_from(">H", frame, start + 4)
    fast = frame[start + 4 + length :].startswith(_CAP)
    syntaxes = (
        tuple(f"{_HTJ2K}{end}" for end in "312") if fast else tuple(f"{_JPEG_2000}{end}" for end in "10")
    )
    depth = frame[start + 42]
    return Codestream(
        frame, bottom - top, right - left, samples, (depth & 0x7F) + 1, syntaxes, signed=depth >= 0x80
    )
