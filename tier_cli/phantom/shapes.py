"""Define coordinates and basic shapes of the synthetic chest.

Lengths are millimetres in a plane 400 mm wide: x from -200 (the patient's right, the image's left) to 200,
y from 0 (top) downwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float64]
SIDES = {"right": -1.0, "left": 1.0}


@dataclass(frozen=True)
class Build:
    """The body and the position of one person, drawn at random around the average.

    Parameters
    ----------
    width, depth, heart
        Width and depth of the chest and size of the heart, relative to the average.
    right_dome, left_dome
        Height y of the diaphragm, millimetres.
    rib_gap
        Distance between ribs, relative to the average.
    tilt, shift, zoom
        Position in front of the detector: radians, millimetres, magnification.
    """

    width: float
    depth: float
    heart: float
    right_dome: float
    left_dome: float
    rib_gap: float
    tilt: float
    shift: tuple[float, float]
    zoom: float = 1.0

    @staticmethod
    def draw(rng: np.random.Generator) -> Build:
        """Draw an average adult who stands nearly straight."""
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

    @staticmethod
    def draw_varied(rng: np.random.Generator) -> Build:
        """Draw a person from a wide range: slight or broad, with high or low domes on either side."""
        right = rng.uniform(264, 306)
        return Build(
            width=rng.uniform(0.84, 1.08),
            depth=rng.uniform(0.75, 1.3),
            heart=rng.uniform(0.80, 1.08),
            right_dome=right,
            left_dome=right + rng.uniform(-12, 24),
            rib_gap=rng.uniform(0.92, 1.08),
            tilt=0.0,
            shift=(0.0, 0.0),
        )

    def posed(self, rng: np.random.Generator, view: str) -> Build:
        """Return the same person in a random position; lying (AP), domes are higher and the heart larger."""
        lying = view == "AP"
        higher = rng.uniform(0, 14) if lying else rng.uniform(-4, 4)
        return replace(
            self,
            heart=self.heart * (1.05 if lying else 1.0),
            right_dome=self.right_dome - higher,
            left_dome=self.left_dome - higher,
            tilt=rng.uniform(-0.12, 0.12),
            shift=(rng.uniform(-24, 24), rng.uniform(-24, 24)),
            zoom=rng.uniform(0.82, 1.02),
        )


def plane(height: int, width: int, build: Build) -> tuple[Map, Map]:
    """Return the coordinates x, y (H, W) of the pixel centres in the patient's frame."""
    step = 400 / width
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    middle = 200.0
    x = ((columns + 0.5) * step - 200 - build.shift[0]) / build.zoom
    y = ((rows + 0.5) * step - height * step / 2 - build.shift[1]) / build.zoom + middle
    return (
        np.cos(build.tilt) * x - np.sin(build.tilt) * (y - middle),
        np.sin(build.tilt) * x + np.cos(build.tilt) * (y - middle) + middle,
    )


def soft_step(distance: Map, width: float) -> Map:
    """Return a smooth step from 0 below zero to 1 above, `width` millimetres wide."""
    step: Map = 0.5 * (1 + np.tanh(2 * distance / width))
    return step


def ellipsoid(x: Map, y: Map, cx: float, cy: float, a: float, b: float, turn: float) -> Map:
    """Return the relative thickness of an ellipsoid with centre (cx, cy), half axes a, b and a rotation."""
    u = np.cos(turn) * (x - cx) + np.sin(turn) * (y - cy)
    v = -np.sin(turn) * (x - cx) + np.cos(turn) * (y - cy)
    # A flat middle and a steep edge, like the silhouette of a uniformly dense body.
    inside: Map = np.clip(1 - (u / a) ** 2 - (v / b) ** 2, 0, None) ** 0.35
    return inside


def chest_width(y: Map, build: Build) -> Map:
    """Return half the inner width of the rib cage at height y."""
    up = np.clip((300 - y) / 242, 0, 1)
    return 141 * build.width * np.clip(1 - up**2.5, 0, None) ** 0.52


def dome(x: Map, side: str, build: Build) -> Map:
    """Return the height y of the diaphragm at each x of one side."""
    sign, top = SIDES[side], build.right_dome if side == "right" else build.left_dome
    off = (sign * x - 62 * build.width) / (80 * build.width)
    return top + 15 * off**2 + 30 * np.clip(off, 0, None) ** 4


def blur(image: Map, sigma: float) -> Map:
    """Blur with a Gaussian of sigma pixels, mirroring the edges."""
    pad = min(int(4 * sigma) + 1, min(image.shape) - 1)
    wide = np.pad(image, pad, mode="reflect")
    rows = np.exp(-2 * (np.pi * sigma * np.fft.fftfreq(wide.shape[0])) ** 2)
    columns = np.exp(-2 * (np.pi * sigma * np.fft.rfftfreq(wide.shape[1])) ** 2)
    soft: Map = np.fft.irfft2(np.fft.rfft2(wide) * rows[:, None] * columns, s=wide.shape)
    return soft[pad:-pad, pad:-pad]
