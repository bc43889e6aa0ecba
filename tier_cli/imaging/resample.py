"""Resample grey levels exactly as Pillow and torch do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Interpolation = Literal["bilinear", "bicubic", "lanczos"]
Image = NDArray[np.float32]
# Left, top, right and bottom edge in pixels; the first pixel ends at 1.
Box = tuple[float, float, float, float]


def resize(
    pixels: Image,
    height: int,
    width: int,
    interpolation: Interpolation,
    *,
    antialias: bool = True,
    box: Box | None = None,
) -> Image:
    """Resample the pixels (H, W), or with antialiasing only those in `box`, to (height, width)."""
    if pixels.shape == (height, width) and box is None:
        return np.asarray(pixels, np.float32)
    if not antialias:
        if box is not None:
            raise ValueError("without antialiasing, only whole images are resampled")
        return _sample(_sample(pixels, height, interpolation).T, width, interpolation).T
    return antialiased(np.ascontiguousarray(pixels, np.float32), height, width, interpolation, box)


def antialiased(
    pixels: NDArray[np.float32] | NDArray[np.uint8],
    height: int,
    width: int,
    interpolation: Interpolation,
    box: Box | None = None,
) -> Image:
    """Resample the pixels (H, W), or those in `box`, with Pillow; 8-bit levels stay whole numbers."""
    from PIL import Image as PillowImage

    filters = PillowImage.Resampling
    chosen = {"bilinear": filters.BILINEAR, "bicubic": filters.BICUBIC, "lanczos": filters.LANCZOS}
    source = PillowImage.fromarray(pixels)
    return np.asarray(source.resize((width, height), chosen[interpolation], box), np.float32)


def to_bytes(levels: Image) -> NDArray[np.uint8]:
    """Truncate grey levels in [0, 1] to 8 bits, like the levels of renderings."""
    # The small addend preserves values that were 8-bit before.
    return (levels * np.float32(255) + np.float32(1e-3)).astype(np.uint8)


def resize_bytes(
    pixels: Image, height: int, width: int, interpolation: Interpolation, *, antialias: bool = True
) -> Image:
    """Resize 8-bit grey levels: with Pillow if antialiased, else sampled and truncated."""
    levels = to_bytes(pixels)
    if antialias:
        resized = antialiased(levels, height, width, interpolation)
    else:
        sampled = resize(levels.astype(np.float32), height, width, interpolation, antialias=False)
        resized = np.floor(sampled.clip(0, 255) + np.float32(1e-3))
    return resized * np.float32(1 / 255)


def _sample(pixels: Image, size: int, interpolation: Interpolation) -> Image:
    """Resample the first axis to `size` with a filter of fixed width, like torch's ``interpolate``."""
    kernel, support = _KERNELS[interpolation]
    centres = (np.arange(size) + 0.5) * (pixels.shape[0] / size) - 0.5
    taps = np.floor(centres).astype(int)[:, None] + np.arange(1 - support, support + 1)
    weights = kernel(np.abs(taps - centres[:, None]))
    weights /= weights.sum(axis=1, keepdims=True)
    taps = taps.clip(0, pixels.shape[0] - 1)
    result = np.zeros((size, pixels.shape[1]), np.float32)
    for tap, weight in zip(taps.T, weights.T.astype(np.float32), strict=True):
        result += pixels[tap] * weight[:, None]
    return result


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(0.0, 1.0 - x)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    a = -0.75  # torch's and OpenCV's; Pillow's is -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


_KERNELS: dict[str, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], int]] = {
    "bilinear": (_triangle, 1),
    "bicubic": (_cubic, 2),
    "lanczos": (_lanczos, 3),
}
