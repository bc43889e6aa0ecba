"""Unpack RLE frames (PS3.5 annex G) with a compiled decoder."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEADER = 64


def unpacked_rle(frame: bytes, layout: dict[str, Any]) -> NDArray[Any] | None:
    """Return the samples (H, W) of a grey RLE frame.

    Parameters
    ----------
    frame
        The frame.
    layout
        The image pixel attributes, as pydicom's decoders take them.

    Returns
    -------
    None if the image is in colour or the frame is not exactly as it should be: pydicom's decoder then says
    what is wrong.
    """
    try:
        from rle.rle import decode_segment
    except ImportError:
        return None
    number = layout["bits_allocated"] // 8
    if layout["samples_per_pixel"] != 1 or number > 2 or len(frame) < _HEADER:
        return None
    count, *offsets = struct.unpack_from(f"<{1 + number}L", frame)
    bounds = [*offsets, len(frame)]
    # The decoder panics on an empty segment, which is no exception that Python can catch.
    if count != number or offsets[0] < _HEADER or any(end - start < 2 for start, end in pairwise(bounds)):
        return None
    rows, columns = layout["rows"], layout["columns"]
    packed = np.empty((rows * columns, number), np.uint8)
    for place, (start, end) in enumerate(pairwise(bounds)):
        try:
            segment = decode_segment(frame[start:end])
        except ValueError:
            return None
        if len(segment) != len(packed):
            return None
        # The highest byte comes first.
        packed[:, number - 1 - place] = np.frombuffer(segment, np.uint8)
    kind = f"{'i' if layout['pixel_representation'] else 'u'}{number}"
    return packed.view(f"<{kind}").reshape(rows, columns)
