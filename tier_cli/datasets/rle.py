"""Masks as run lengths: COCO's form, and how other forms come to it.

COCO's uncompressed form lists the lengths of runs down the columns, zeros first; a mask (2, 2) whose first
column is set is ``[0, 2, 2]``. Format: cocodataset/cocoapi, ``common/maskApi.c``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Each character of the compressed form carries five bits, a continuation bit above them, and starts at "0".
_FIRST, _BITS, _MORE, _SIGN = 48, 5, 0x20, 0x10
_LONGEST = 8


def encode_mask(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """Give the run lengths of a mask (H, W)."""
    flat = np.asarray(mask, dtype=bool).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate(([0], edges, [flat.size]))
    counts = np.diff(starts).tolist()
    return tuple([0, *counts] if flat.size and flat[0] else counts)


def decode_mask(counts: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Give the mask (H, W) of run lengths.

    Raises
    ------
    ValueError
        The runs are negative or do not fill the mask.
    """
    check_counts(counts, size)
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(size, order="F")


def check_counts(counts: Sequence[int], size: tuple[int, int]) -> None:
    """Refuse run lengths that are negative or do not fill a mask of `size` (H, W)."""
    if any(count < 0 for count in counts):
        raise ValueError("a run of the mask has a negative length")
    pixels = size[0] * size[1]
    if sum(counts) != pixels:
        raise ValueError(
            f"the runs of the mask cover {sum(counts)} pixels, its size {size[0]} x {size[1]} has {pixels}"
        )


def from_compressed(text: str) -> tuple[int, ...]:
    """Read COCO's compressed form: numbers of five bits a character, from the third run on as differences.

    Raises
    ------
    ValueError
        The text is not of this form.
    """
    codes = np.array([ord(character) - _FIRST for character in text], dtype=np.int64)
    odd = np.flatnonzero((codes < 0) | (codes > 63))
    if odd.size:
        raise ValueError(f"{text[odd[0]]!r} does not belong into a compressed mask")
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
    # The first three runs stand as they are, later ones as differences from the run two before.
    runs[1::2], runs[2::2] = np.cumsum(runs[1::2]), np.cumsum(runs[2::2])
    return tuple(runs.tolist())


def from_coco(counts: object, size: tuple[int, int]) -> tuple[int, ...]:
    """Read COCO's run lengths of a mask of `size` (H, W), compressed (a text) or not (a list).

    Raises
    ------
    ValueError
        They are neither, or do not fill the mask.
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
        The text is not of this form or leads out of a mask of `size` (H, W).
    """
    try:
        runs = [int(word) for word in text.split()]
    except ValueError:
        raise ValueError("the run lengths are not whole numbers") from None
    if not runs or len(runs) % 2 or min(runs) < 0:
        raise ValueError("the run lengths are not pairs of gap and length")
    rest = size[0] * size[1] - sum(runs)
    if rest < 0:
        raise ValueError(f"the runs lead out of a mask of {size[0]} x {size[1]} pixels")
    # This is COCO's form but for the last run of zeros.
    return (*runs, rest) if rest else tuple(runs)


def from_polygons(polygons: Sequence[Sequence[Sequence[float]]], size: tuple[int, int]) -> tuple[int, ...]:
    """Fill polygons of (x, y) corners, edges included, and give the run lengths of their union.

    One polygon that crosses itself is filled even-odd; two polygons that overlap are one region.

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
