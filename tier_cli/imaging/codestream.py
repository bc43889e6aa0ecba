"""Compressed frames: whether they are whole, and what they declare themselves.

GDCM, the one free decoder of lossless JPEG, ends the process over some broken headers, and any decoder may
ask for as much memory as a header says. So headers are read here before a decoder sees them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

_ITEM = b"\xfe\xff\x00\xe0"
_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
_SOC_SIZ = b"\xff\x4f\xff\x51"
_DHT, _SOS, _JPEG_LS_FRAME = 0xC4, 0xDA, 0xF7
# C0 to CF but for DHT, JPG and DAC; F7 is JPEG-LS.
_START_OF_FRAME = (frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, 0xCC}) | {_JPEG_LS_FRAME}
# What may come before the scan besides: tables, restart interval, JPEG-LS parameters, applications, comments.
_OTHER_SEGMENTS = frozenset({0xDB, 0xDD, 0xF8, 0xFE, *range(0xE0, 0xF0)})


@dataclass(frozen=True)
class Codestream:
    """A compressed frame and what its own header says.

    Parameters
    ----------
    content
        The frame.
    height, width, samples
        Its size and the samples of a pixel.
    precision
        Bits of a sample.
    """

    content: bytes
    height: int
    width: int
    samples: int
    precision: int


def codestream_of(frame: bytes) -> Codestream | None:
    """Read the header of a JPEG, JPEG-LS or JPEG 2000 frame; None when it is broken or of another kind."""
    try:
        return _jpeg_2000(frame) if frame.startswith((_SOC_SIZ, _JP2_SIGNATURE)) else _jpeg(frame)
    except (struct.error, IndexError):
        return None


def fragments_are_whole(file: BinaryIO) -> bool:
    """Tell whether the fragments that begin at the file's position end before the file does (PS3.5 A.4)."""
    position = file.tell()
    end = file.seek(0, 2)
    while True:
        file.seek(position)
        head = file.read(8)
        if head[:4] != _ITEM or len(head) < 8:
            # The delimiter that should follow may be missing: the image is complete without it.
            return position <= end
        position += 8 + int.from_bytes(head[4:], "little")


def _jpeg(frame: bytes) -> Codestream | None:
    """Walk the segments (ISO/IEC 10918-1 annex B) up to the first scan, which needs all that precedes it."""
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
            found = Codestream(frame, height, width, samples, precision)
            decodable = decodable or marker == _JPEG_LS_FRAME
        elif marker == _DHT and _is_huffman(segment):
            decodable = True
        elif marker not in _OTHER_SEGMENTS:
            return None
        position += 2 + length
    return None


def _is_huffman(segment: bytes) -> bool:
    """Tell whether a segment holds Huffman tables: 16 counts each, then as many symbols."""
    while segment:
        counts = segment[1:17]
        # A code of n bits has room for 2**n symbols less what shorter codes take.
        if len(counts) < 16 or sum(count << (15 - n) for n, count in enumerate(counts)) > 1 << 16:
            return False
        size = 17 + sum(counts)
        if len(segment) < size:
            return False
        segment = segment[size:]
    return True


def _jpeg_2000(frame: bytes) -> Codestream | None:
    start = frame.find(_SOC_SIZ)
    if start < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", frame, start + 8)
    (samples,) = struct.unpack_from(">H", frame, start + 40)
    return Codestream(frame, bottom - top, right - left, samples, (frame[start + 42] & 0x7F) + 1)
