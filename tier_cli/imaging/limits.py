"""Refuse images that are far too large, too small or blank."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import InputError

MAX_PIXELS = 100_000_000
MIN_SIDE = 64
# An image is blank if less than this share of its pixels differs from the rest: a caption on black.
BLANK_SHARE = 0.01


def check_size(height: int, width: int, path: str) -> None:
    """Refuse dimensions before anything is decoded, so that a small file cannot claim all memory."""
    if height * width > MAX_PIXELS:
        raise InputError(
            f"the image would have {width} x {height} pixels",
            where=path,
            remedy=f"give an image of at most {MAX_PIXELS // 1_000_000} megapixels",
            kind="too_large",
        )
    if min(height, width) < MIN_SIDE:
        raise InputError(
            f"the image has only {width} x {height} pixels",
            where=path,
            remedy=f"give an image of at least {MIN_SIDE} pixels on each side",
            kind="too_small",
        )


def check_blank(pixels: NDArray[np.float32], path: str) -> None:
    """Refuse displayed pixels (H, W) that are nearly constant."""
    # A grid of about 256 x 256 pixels decides as well as all pixels, at no cost.
    sample = pixels[:: max(1, pixels.shape[0] // 256), :: max(1, pixels.shape[1] // 256)].ravel()
    common = np.median(sample)
    if np.count_nonzero(sample != common) < BLANK_SHARE * sample.size:
        raise InputError(
            "the image is blank: nearly all pixels have the same grey level",
            where=path,
            remedy="check the export or the window of this image",
            kind="blank",
        )
