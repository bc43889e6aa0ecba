"""Stretch an image whose pixels are not square, so that a chest has its true proportions."""

from __future__ import annotations

import math

from tier_cli.imaging.header import Header
from tier_cli.imaging.limits import MAX_PIXELS
from tier_cli.imaging.reduction import Grid
from tier_cli.imaging.resample import Image, resize

# In the order of PS3.3 C.7.6.3.1.7: the aspect ratio counts only where no spacing is given.
_SPACINGS = ("ImagerPixelSpacing", "PixelSpacing", "NominalScannedPixelSpacing")
_RATIO = "PixelAspectRatio"
# Spacings are rounded, and less than a percent cannot be seen; beyond four, the values are in error.
_SQUARE, _PLAUSIBLE = 1.01, 4.0


def squared(levels: Image | Grid, header: Header, notes: list[str]) -> Image | Grid:
    """Resample the image (H, W) as stored to its `square_size`; parameters as there."""
    size = square_size(levels.shape, header, notes)
    if size is None:
        return levels
    pixels = levels.levels() if isinstance(levels, Grid) else levels
    return resize(pixels, *size, "bilinear").clip(0.0, 1.0)


def square_size(shape: tuple[int, ...], header: Header, notes: list[str]) -> tuple[int, int] | None:
    """Stretch the axis with the longer pixels, or shrink the other if the image would be too large.

    Parameters
    ----------
    shape
        Height and width of the image as stored, before it is turned.
    header
        States spacings or an aspect ratio, both as vertical by horizontal.
    notes
        Receives a note if the image is stretched or the values contradict each other or make no sense.

    Returns
    -------
    The height and width with square pixels; None if they are square.
    """
    stated = [(keyword, _ratio(header, keyword)) for keyword in (*_SPACINGS, _RATIO)]
    found = [(keyword, ratio) for keyword, ratio in stated if ratio]
    if not found:
        return None
    keyword, ratio = found[0]
    if any(max(ratio, other) > _SQUARE * min(ratio, other) for _, other in found):
        notes.append(f"the proportions of the pixels differ between attributes: {keyword} was used")
    longer = max(ratio, 1 / ratio)
    if longer <= _SQUARE:
        return None
    if longer > _PLAUSIBLE:
        notes.append(f"{keyword} ignored: pixels {longer:.3g} times as long as wide are an error")
        return None
    height, width = shape
    # A ratio above 1 means pixels that are higher than wide.
    taller, wider = max(ratio, 1.0), max(1 / ratio, 1.0)
    if height * taller * width * wider > MAX_PIXELS:
        taller, wider = 1 / wider, 1 / taller
    new_height, new_width = max(1, round(height * taller)), max(1, round(width * wider))
    notes.append(
        f"resampled from {width} x {height} to {new_width} x {new_height} square pixels "
        f"according to {keyword}"
    )
    return new_height, new_width


def _ratio(header: Header, keyword: str) -> float:
    """Return the height of a pixel as a multiple of its width; 0 if it is not stated or not valid."""
    values = header.numbers(keyword)
    if len(values) != 2 or not all(math.isfinite(value) and value > 0 for value in values):
        return 0.0
    return values[0] / values[1]
