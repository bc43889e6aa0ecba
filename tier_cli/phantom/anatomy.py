"""Draw the anatomy of the synthetic chest as thickness maps: millimetres of tissue that each ray crosses.

Shapes follow textbook proportions; no patient's image was used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tier_cli.phantom.bones import skeleton
from tier_cli.phantom.shapes import (
    SIDES,
    Build,
    Map,
    chest_width,
    dome,
    ellipsoid,
    plane,
    soft_step,
)
from tier_cli.phantom.tubes import draw_tubes, draw_vessels


@dataclass(frozen=True)
class Anatomy:
    """Thickness maps (H, W) in millimetres, and the coordinates that they were drawn on.

    `lungs` is the air-bearing thickness of each lung by side, `outline` its silhouette in [0, 1] without the
    parts behind diaphragm, heart and mediastinum. `vessels` are those in the lungs, `air` is in airways and
    stomach, `bone` is the whole skeleton.
    """

    x: Map
    y: Map
    build: Build
    body: Map
    lungs: dict[str, Map]
    outline: dict[str, Map]
    vessels: Map
    air: Map
    bone: Map

    def chest_width(self, y: Map) -> Map:
        """Return half the inner width of the rib cage at height y."""
        return chest_width(y, self.build)

    def dome(self, side: str) -> Map:
        """Return the height y of the diaphragm at each x of one side."""
        return dome(self.x, side, self.build)


def draw_anatomy(height: int, width: int, build: Build, rng: np.random.Generator) -> Anatomy:
    """Draw a healthy chest."""
    x, y = plane(height, width, build)
    centre = _mediastinum(x, y) + 0 * x
    heart = heart_share(x, y, build)
    lungs, outline = {}, {}
    for side in SIDES:
        lungs[side], outline[side] = _lung(x, y, side, build, centre, heart)
    inside = outline["right"] + outline["left"]
    vessels = (draw_vessels(x, y, rng) + _hila(x, y)) * inside
    body = _body(x, y, build)
    return Anatomy(x, y, build, body, lungs, outline, vessels, _airways(x, y), skeleton(x, y, build))


def heart_share(x: Map, y: Map, build: Build) -> Map:
    """Return the share of the chest's depth that heart and great vessels take, in [0, 1]."""
    scale = build.heart * build.width
    # The right border of the heart stays near the spine; it grows mostly to the left and downwards.
    grown = scale - 0.96
    rest = build.right_dome - 292
    ventricle = ellipsoid(x, y, 24 + 26 * grown, 255 + rest + 4 * grown, 70 * scale, 53 * scale, 0.5)
    atrium = ellipsoid(x, y, -12, 246 + rest, 35 * (0.6 + 0.4 * scale), 54, 0.0)
    knob = ellipsoid(x, y, 20, 138, 20, 21, 0.0)
    trunk = ellipsoid(x, y, 20, 182, 24, 34, -0.25)
    drawn: Map = np.maximum.reduce([0.84 * ventricle, 0.78 * atrium, 0.66 * knob, 0.6 * trunk])
    return drawn


def _mediastinum(x: Map, y: Map) -> Map:
    """Return the share of the chest's depth that the mediastinum takes."""
    half = np.interp(y, [0, 60, 90, 125, 160, 200, 330], [46, 40, 30, 25, 25, 24, 24])
    return 0.97 * soft_step(half - np.abs(x + 1), 5)


def _body(x: Map, y: Map, build: Build) -> Map:
    heights = [0, 30, 50, 68, 90, 115, 150, 190, 230, 300, 400]
    half = np.interp(y, heights, [56, 60, 78, 118, 178, 232, 236, 204, 178, 170, 174]) * build.width
    deep = np.interp(y, heights, [115, 118, 125, 140, 158, 180, 205, 215, 220, 226, 236]) * build.depth
    drawn: Map = deep * np.clip(1 - np.abs(x / half) ** 3, 0, None) ** 0.5
    return drawn


def _lung(x: Map, y: Map, side: str, build: Build, centre: Map, heart: Map) -> tuple[Map, Map]:
    half = chest_width(y, build)
    across = np.clip(np.abs(x) / np.maximum(half, 1), 0, 1)
    deep = np.interp(y, [55, 75, 110, 180, 280, 400], [40, 80, 135, 172, 180, 176]) * build.depth
    apex = 64 + 0.03 * np.clip(54 * build.width - np.abs(x), 0, None) ** 2
    own = soft_step(SIDES[side] * x, 2) * soft_step(half - np.abs(x), 1.5) * soft_step(y - apex, 3)
    above = soft_step(dome(x, side, build) - y, 2.5)
    # Lung also lies behind the dome, in the posterior recess, and thins out downwards.
    recess = 0.42 * np.exp(-np.clip(y - dome(x, side, build), 0, None) / 22)
    cavity = deep * np.clip(1 - across**3.2, 0, None) ** 0.42 * own
    lung = cavity * np.maximum(above, recess) * (1 - centre) * (1 - heart)
    return lung, own * above * (1 - centre) * (1 - heart)


def _hila(x: Map, y: Map) -> Map:
    total = np.zeros_like(x)
    for cx, cy, a, b, thick in (
        (-34, 190, 12, 22, 26),
        (42, 178, 12, 17, 24),
        (-45, 208, 8, 22, 20),
        (50, 196, 8, 18, 14),
    ):
        total += thick * np.exp(-(((x - cx) / a) ** 2) - ((y - cy) / b) ** 2)
    return total


def _airways(x: Map, y: Map) -> Map:
    trachea = 26 * np.sqrt(np.clip(1 - ((x + 2) / 10) ** 2, 0, None)) * soft_step(172 - y, 6)
    bronchi = np.zeros_like(x)
    draw_tubes(bronchi, x, y, [(-3.0, 170.0, -34.0, 192.0, 7.0), (-1.0, 170.0, 38.0, 190.0, 6.0)])
    # The stomach bubble below the left dome has a level floor, as the person is upright.
    bubble = 34 * np.clip(1 - ((x - 66) / 27) ** 2 - ((y - 337) / 16) ** 2, 0, None) ** 0.6
    return np.maximum(trachea, bronchi) + bubble * soft_step(343 - y, 4)
