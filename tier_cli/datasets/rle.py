"""Convert masks to and from COCO's run lengths.

COCO's uncompressed form lists the lengths of runs down the columns, zeros first; a mask (2, 2) whose first
column is set is ``[0, 2, 2]``. Format: cocodataset/cocoapi, ``common/maskApi.c``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# A character of the compressed form, counted from "0", holds five bits and a continuation bit above them.
_FIRST, _BITS, _MORE, _SIGN = 48, 5, 0x20, 0x10
_LONGEST = 8


def encode_mask(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """Return the run lengths of a mask (H, W)."""
    flat = np.asarray(mask, dtype=bool).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate(([0], edges, [flat.size]))
    counts = np.diff(starts).tolist()
    return tuple([0, *counts] if flat.size and flat[0] else counts)


def decode_mask(counts: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask (H, W) of run lengths.

    Raises
    ------
    ValueError
        The runs are negative or do not fill the mask.
    """
    check_counts(counts, size)
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(size, order="F")


def check_counts(counts: Sequence[int], size: tuple[int, int]) -> None:
    """Check that run lengths are not negative and fill a mask of `size` (H, W).

    Raises
    ------
    ValueError
        They are negative or do not fill the mask.
    """
    if any(count < 0 for count in counts):
        raise ValueError("a run of the mask has a negative length")
    pixels = size[0] * size[1]
    if sum(counts) != pixels:
        raise ValueError(
            f"the runs of the mask cover {sum(counts)} pixels, its size {size[0]} x {size[1]} has {pixels}"
        )


def from_compressed(text: str) -> tuple[int, ...]:
    """Read COCO's compressed form: five bits per character, from the third run on as differences.

    Raises
    ------
    ValueError
        The text does not have this form.
    """
    codes = np.array([ord(character) - _FIRST for character in text], dtype=np.int64)
    odd = np.flatnonzero((codes < 0) | (codes > 63))
    if odd.size:
        raise ValueError(f"{text[odd[0]]!r} is not a character of a compressed mask")
    if not codes.size or codes[-1] & _MORE:
        raise ValueError("the compressed mask ends in the middle of a number")
    ends = np.flatnonzero((codes & _MORE) == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    length = ends - starts + 1
    if length.max() > _LONGEST:
        raise ValueError("a run of the compressed mask is too long")
    place = np.arange(codes.size) - np.repeat(starts, length)
    runs = np.add.reduceat((codes & 0x1F) << (_BITS * place), starts)
    runs -= np.where(codes[ends] & _SIGN, 1 << (_BITS * length), 0)
    # The first three runs are plain numbers, later ones are differences from the run two before.
    runs[1::2], runs[2::2] = np.cumsum(runs[1::2]), np.cumsum(runs[2::2])
    return tuple(runs.tolist())


def from_coco(counts: object, size: tuple[int, int]) -> tuple[int, ...]:
    """Read COCO's run lengths of a mask of `size` (H, W), compressed (text) or plain (list).

    Raises
    ------
    ValueError
        The value is neither, or the runs do not fill the mask.
    """
    runs = from_compressed(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list | tuple) or not all(type(run) is int for run in runs):
        raise ValueError("the counts of a mask are not whole numbers")
    check_counts(runs, size)
    return tuple(runs)


def from_relative(text: str, size: tuple[int, int]) -> tuple[int, ...]:
    """Read SIIM-ACR's form: pairs of gap and length down the columns, each gap from the end of the last run.

    Raises
    ------
    ValueError
        The text does not have this form or exceeds a mask of `size` (H, W).
    """
    try:
        runs = [int(word) for word in text.split()]
    except ValueError:
        raise ValueError("the run lengths are not whole numbers") from None
    if not runs or len(runs) % 2 or min(runs) < 0:
        raise ValueError("the run lengths are not pairs of gap and length")
    rest = size[0] * size[1] - sum(runs)
    if rest < 0:
        raise ValueError(f"the runs exceed a mask of {size[0]} x {size[1]} pixels")
    # COCO's form, except that the last run of zeros is missing.
    return (*runs, rest) if rest else tuple(runs)


def from_polygons(polygons: Sequence[Sequence[Sequence[float]]], size: tuple[int, int]) -> tuple[int, ...]:
    """Fill polygons of (x, y) corners, edges included, and return the run lengths of their union.

    A polygon that crosses itself is filled even-odd; overlapping polygons are one region.

    Raises
    ------
    ValueError
        A polygon is not a list of at least two corners.
    """
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (size[1], size[0]), 0)
    draw = ImageDraw.Draw(canvas)
    for polygon in polygons:
        corners = [(float(x), float(y)) for x, y in polygon]
        if len(corners) < 2:
            raise ValueError("a polygon has fewer than two corners")
        draw.polygon(corners, fill=1, outline=1)
    return encode_mask(np.asarray(canvas) > 0)
