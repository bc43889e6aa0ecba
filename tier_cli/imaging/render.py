"""Grey levels from values: the parts of a rendering that DICOM and raster files share. Pure numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


def minmax(values: Image, padding: Mask | None = None) -> Image:
    """Scale values (H, W), in place, so that the extremes outside `padding` (H, W) become 0 and 1."""
    if padding is None or padding.all():
        low, high = float(values.min()), float(values.max())
    else:
        low = float(values.min(initial=np.inf, where=~padding))
        high = float(values.max(initial=-np.inf, where=~padding))
    # Constant values stay constant and are refused as blank later.
    values -= low
    values /= max(high - low, float(np.finfo(np.float32).tiny))
    return np.clip(values, 0.0, 1.0, out=values)


def equalised(grey: Image) -> Image:
    """Equalise the histogram of grey levels (H, W) in [0, 1] after reducing them to 8 bits.

    As MIMIC-CXR-JPG was made (Johnson et al., 2019): values truncated to 8 bits, then OpenCV's equalizeHist.
    """
    levels = (grey * np.float32(255)).astype(np.uint8)
    counts = np.bincount(levels.ravel(), minlength=256)
    lowest = int(np.flatnonzero(counts)[0])
    rest = levels.size - int(counts[lowest])
    if rest == 0:
        return grey
    counts[lowest] = 0
    scale = np.float32(255) / np.float32(rest)
    # Rounded half to even in single precision, as OpenCV does, or one level in a thousand differs.
    table = np.rint(np.cumsum(counts).astype(np.float32) * scale).clip(0, 255) / np.float32(255)
    chosen: Image = table.astype(np.float32)[levels]
    return chosen
