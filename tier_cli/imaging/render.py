"""Render grey levels in ways that DICOM and raster files share: stretch and equalise. Pure numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def minmax(values: Image) -> Image:
    """Scale values (H, W) in place so that the extremes become 0 and 1."""
    low, high = float(values.min()), float(values.max())
    # Constant values stay constant and are later refused as blank.
    values -= np.float32(low)
    values /= np.float32(max(high - low, 1e-30))
    return np.clip(values, 0.0, 1.0, out=values)


def equalised(grey: Image) -> Image:
    """Equalise the histogram of grey levels (H, W) in [0, 1] after reducing them to 8 bits."""
    # Truncated as in MIMIC-CXR-JPG; the small addend preserves values that were 8-bit before.
    levels = (grey * np.float32(255) + np.float32(1e-4)).astype(np.uint8)
    return equalisation(np.bincount(levels.ravel(), minlength=256))[levels]


def equalisation(counts: NDArray[np.number]) -> Image:
    """Return the equalised grey level in [0, 1] of each of 256 levels that occur `counts` times (256,).

    Like OpenCV's equalizeHist, which produced MIMIC-CXR-JPG (Johnson et al., 2019).
    """
    cumulative = np.cumsum(counts, dtype=np.float64)
    darkest = cumulative[np.flatnonzero(counts)[0]]
    if cumulative[-1] == darkest:
        return np.linspace(0, 1, 256, dtype=np.float32)
    # Rounded half to even in single precision, as in OpenCV; otherwise one level in a thousand differs.
    scale = np.float32(255) / np.float32(cumulative[-1] - darkest)
    levels = np.rint((cumulative - darkest).astype(np.float32) * scale)
    table: Image = (levels.clip(0, 255) / 255).astype(np.float32)
    return table
