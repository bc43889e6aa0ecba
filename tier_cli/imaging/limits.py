"""What no image may be, whatever file it came from: absurdly large, tiny or blank."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import InputError

MAX_PIXELS = 100_000_000
MIN_SIDE = 64
# Blank is an image whose pixels but for this share have one value: a caption on black is no chest.
BLANK_SHARE = 0.01


def check_size(height: int, width: int, path: str) -> None:
    """Refuse dimensions before anything is decoded, so that a few bytes cannot ask for all memory."""
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
    """Refuse displayed pixels (H, W) that show nothing."""
    # A grid of about 256 x 256 pixels tells as well as all of them and costs nothing.
    sample = pixels[:: max(1, pixels.shape[0] // 256), :: max(1, pixels.shape[1] // 256)].ravel()
    common = np.median(sample)
    if np.count_nonzero(sample != common) < BLANK_SHARE * sample.size:
        raise InputError(
            "the image is blank: nearly all its pixels have one grey level",
            where=path,
            remedy="check the export of this image, or its window",
            kind="blank",
        )
