"""The size that a JPEG, JPEG-LS or JPEG 2000 stream itself declares."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
_SOC_SIZ = b"\xff\x4f\xff\x51"
# Start of frame: C0 to CF but for DHT, JPG and DAC; F7 is JPEG-LS.
_START_OF_FRAME = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}


@dataclass(frozen=True)
class Codestream:
    """A compressed frame and what its own header says; `precision` in bits a sample."""

    content: bytes
    height: int
    width: int
    precision: int


def codestream_of(frame: bytes) -> Codestream | None:
    """Read a frame's header; None when it is of no kind known here, such as RLE."""
    try:
        if frame.startswith(b"\xff\xd8"):
            return _jpeg(frame)
        if frame.startswith((_SOC_SIZ, _JP2_SIGNATURE)):
            return _jpeg_2000(frame)
    except (struct.error, IndexError):
        pass
    return None


def _jpeg(frame: bytes) -> Codestream | None:
    position = 2
    while frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _START_OF_FRAME:
            precision, height, width = struct.unpack_from(">BHH", frame, position + 4)
            return Codestream(frame, height, width, precision)
        position += 2 + int(struct.unpack_from(">H", frame, position + 2)[0])
    return None


def _jpeg_2000(frame: bytes) -> Codestream | None:
    start = frame.find(_SOC_SIZ)
    if start < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", frame, start + 8)
    return Codestream(frame, bottom - top, right - left, (frame[start + 42] & 0x7F) + 1)
