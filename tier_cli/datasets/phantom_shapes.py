"""Coordinates and shapes that the synthetic chest is drawn with.

Lengths are millimetres in a plane 400 mm wide: x from -200 (the patient's right, the image's left) to 200,
y from 0 (top) downwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float64]
SIDES = {"right": -1.0, "left": 1.0}


@dataclass(frozen=True)
class Build:
    """How one person is built; drawn at random around the ordinary."""

    width: float
    depth: float
    heart: float
    right_dome: float
    left_dome: float
    rib_gap: float
    tilt: float
    shift: tuple[float, float]

    @staticmethod
    def draw(rng: np.random.Generator) -> Build:
        """An ordinary adult, standing nearly straight."""
        right = rng.uniform(284, 300)
        return Build(
            width=rng.uniform(0.94, 1.05),
            depth=rng.uniform(0.88, 1.12),
            heart=rng.uniform(0.9, 1.02),
            right_dome=right,
            left_dome=right + rng.uniform(6, 14),
            rib_gap=rng.uniform(0.96, 1.04),
            tilt=rng.uniform(-0.03, 0.03),
            shift=(rng.uniform(-6, 6), rng.uniform(-6, 6)),
        )


def plane(height: int, width: int, build: Build) -> tuple[Map, Map]:
    """Coordinates x, y (H, W) of the pixel centres in the patient's frame."""
    step = 400 / width
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    x = (columns + 0.5) * step - 200 - build.shift[0]
    y = (rows + 0.5) * step + (400 - height * step) / 2 - build.shift[1]
    middle = 200.0
    return (
        np.cos(build.tilt) * x - np.sin(build.tilt) * (y - middle),
        np.sin(build.tilt) * x + np.cos(build.tilt) * (y - middle) + middle,
    )


def soft_step(distance: Map, width: float) -> Map:
    """0 far below zero, 1 far above; `width` millimetres wide."""
    step: Map = 0.5 * (1 + np.tanh(2 * distance / width))
    return step


def ellipsoid(x: Map, y: Map, cx: float, cy: float, a: float, b: float, turn: float) -> Map:
    u = np.cos(turn) * (x - cx) + np.sin(turn) * (y - cy)
    v = -np.sin(turn) * (x - cx) + np.cos(turn) * (y - cy)
    # A flat middle and a steep edge, as a body of even density gives a silhouette.
    inside: Map = np.clip(1 - (u / a) ** 2 - (v / b) ** 2, 0, None) ** 0.35
    return inside


def chest_width(y: Map, build: Build) -> Map:
    up = np.clip((300 - y) / 242, 0, 1)
    return 141 * build.width * np.clip(1 - up**2.5, 0, None) ** 0.52


def dome(x: Map, side: str, build: Build) -> Map:
    sign, top = SIDES[side], build.right_dome if side == "right" else build.left_dome
    off = (sign * x - 62 * build.width) / (80 * build.width)
    return top + 15 * off**2 + 30 * np.clip(off, 0, None) ** 4


def blur(image: Map, sigma: float) -> Map:
    """Gaussian blur, edges mirrored; sigma in pixels."""
    pad = min(int(4 * sigma) + 1, min(image.shape) - 1)
    wide = np.pad(image, pad, mode="reflect")
    rows = np.exp(-2 * (np.pi * sigma * np.fft.fftfreq(wide.shape[0])) ** 2)
    columns = np.exp(-2 * (np.pi * sigma * np.fft.rfftfreq(wide.shape[1])) ** 2)
    soft: Map = np.fft.irfft2(np.fft.rfft2(wide) * rows[:, None] * columns, s=wide.shape)
    return soft[pad:-pad, pad:-pad]
