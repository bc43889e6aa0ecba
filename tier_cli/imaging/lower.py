"""Decode compressed frames at a lower resolution, where their format allows that and its result is known."""

from __future__ import annotations

import io
import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tier_cli.imaging.codestream import SOC_SIZ, SOT, Codestream
from tier_cli.imaging.reduction import Extent

_COD, _COC = b"\xff\x52", b"\xff\x53"


class Lower(NamedTuple):
    """Samples (h, w) of an image at a lower resolution, and where the image lies in them."""

    samples: NDArray[Any]
    extent: Extent


def lower_j2k(codestream: Codestream, most: int) -> Lower | None:
    """Decode a grey JPEG 2000 image, high-throughput or not, at a lower resolution level.

    Parameters
    ----------
    codestream
        The frame.
    most
        How many pixels, in each direction, may become one.

    Returns
    -------
    The samples with their extent; None if the image is in colour or of several tiles, does not begin at the
    origin, has no such level, or cannot be decoded so: the decoder of all pixels then says what is wrong.
    """
    start = codestream.content.find(SOC_SIZ)
    available, reversible = _levels(codestream.content, start)
    levels = min(available, most.bit_length() - 1)
    if levels < 1 or codestream.samples != 1 or codestream.precision > 16:
        return None
    step = 2**levels
    height, width = codestream.height, codestream.width
    samples = _at_level(codestream.content[start:], levels, -(-height // step), -(-width // step))
    if samples is None:
        return None
    # Pillow shifts samples to the upper end of 8 or 16 bits, and makes signed ones positive.
    samples = samples >> (8 * samples.itemsize - codestream.precision)
    if codestream.signed:
        samples = (samples.astype(np.int32) - 2 ** (codestream.precision - 1)).astype(np.int16)
    extent = Extent.lattice(height, width, step, reversible=reversible)
    over = int(extent.bottom > len(samples)), int(extent.right > samples.shape[1])
    # The image ends beyond the last pixel's end, never by as much as a pixel.
    samples = np.pad(samples, ((0, over[0]), (0, over[1])), mode="edge")
    return Lower(samples, extent)


def _at_level(content: bytes, levels: int, height: int, width: int) -> NDArray[Any] | None:
    """Decode a JPEG 2000 codestream at the level of a lower resolution that has this size."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=("JPEG2000",)) as image:
            image.reduce = levels  # type: ignore[method-assign, assignment]
            # Pillow divides the size and rounds it to the nearest whole number, instead of up.
            image._size = width << levels, height << levels
            image.load()
            samples = np.asarray(image)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - decoders raise almost anything, see `guarded`
        return None
    return samples if samples.shape == (height, width) else None


def _levels(content: bytes, start: int) -> tuple[int, bool]:
    """Return how often the resolution of a JPEG 2000 image can be halved, and whether that loses nothing.

    Zero times for an image that is offset or tiled, or whose components differ (ISO/IEC 15444-1 A.5, A.6.1).
    """
    right, bottom, left, top, wide, high, first, upper = struct.unpack_from(">8I", content, start + 8)
    if left or top or first or upper or wide < right or high < bottom:
        return 0, False
    position, levels, reversible = start + 2, 0, False
    while content[position : position + 2] != SOT:
        marker = content[position : position + 2]
        if marker == _COC or marker[:1] != b"\xff":
            return 0, False
        if marker == _COD:
            levels, reversible = content[position + 9], content[position + 13] == 1
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return levels, reversible
