"""Draw the skeleton of the synthetic chest in millimetres of bone along each ray."""

from __future__ import annotations

import numpy as np

from tier_cli.phantom.shapes import SIDES, Build, Map, chest_width, soft_step


def skeleton(x: Map, y: Map, build: Build) -> Map:
    """Return spine, clavicles, shoulders and ribs as one thickness map (H, W)."""
    bone = _spine(x, y) + _clavicles(x, y, build) + _shoulders(x, y, build)
    for number in range(11):
        for sign in SIDES.values():
            # A rib covers a small part of the image, so it is computed only there.
            part = _window(sign * x, y, number, build)
            bone[part] += _rib(sign * x[part], y[part], number, build)
    return bone


def _spine(x: Map, y: Map) -> Map:
    gap = 20 + 5 * np.clip(y, 0, 400) / 400
    place = np.mod(y / gap, 1)
    body = soft_step((0.5 - np.abs(place - 0.5)) * gap - 1.6, 1.6)
    half = 14 + 6 * np.clip(y, 0, 400) / 400
    column = np.sqrt(np.clip(1 - (x / half) ** 4, 0, None)) * (6 + 6 * body)
    pedicles = sum(
        7 * np.exp(-(((x - s * half * 0.6) / 3.5) ** 2) - ((place - 0.45) / 0.2) ** 2) for s in (-1, 1)
    )
    process = 4 * np.exp(-((x / 3) ** 2) - ((place - 0.75) / 0.2) ** 2)
    drawn: Map = column + pedicles + process
    return drawn


def _level(number: int, build: Build) -> float:
    """Return the height y of a rib beside the spine."""
    return 74 + 22.5 * build.rib_gap * number


def _drop(number: int) -> float:
    """Return how much lower a rib ends than it begins."""
    return 62.0 + 7 * number


def _window(x: Map, y: Map, number: int, build: Build) -> tuple[slice, slice]:
    """Return the rows and columns that a rib on the side of positive x is confined to."""
    top, bottom = _level(number, build) - 48, _level(number, build) + _drop(number) + 42
    rows = np.flatnonzero((y.max(axis=1) > top) & (y.min(axis=1) < bottom))
    columns = np.flatnonzero((x > 0).any(axis=0))
    if not rows.size or not columns.size:
        return slice(0), slice(0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _rib(x: Map, y: Map, number: int, build: Build) -> Map:
    """Draw one rib: its back part runs outwards and down, its front part inwards and further down."""
    level = _level(number, build)
    lateral = np.array([level + 26.0])
    reach = float(chest_width(lateral, build)[0]) + 3.5
    turn = np.arcsin(np.clip(x / reach, 0, 1))
    drop = _drop(number)
    there = soft_step(x - 12, 4) * soft_step(reach - 1 - x, 2)
    back, front = (level - 8 + drop * (1 - np.cos(t)) / 2 for t in (turn, np.pi - turn))
    bow = 10 * np.sin(2 * turn)
    ribs = _band(y - back + bow, turn, 5.2, reach, drop) * there
    if number < 8:
        ribs += (
            0.75 * _band(y - front - bow, turn, 5.8, reach, drop) * soft_step(x - 48 - 5 * number, 22) * there
        )
    return ribs


def _band(off: Map, turn: Map, radius: float, reach: float, drop: float) -> Map:
    steep = np.minimum(drop / 2 * np.tan(np.minimum(turn, 1.5)) / reach, 3.5)
    v = off / (radius * np.sqrt(1 + steep**2))
    # Cortex around marrow: brighter at the edges than in the middle.
    drawn: Map = (
        np.clip(1 - v**2, 0, None) ** 0.5 - 0.55 * np.clip(1 - (v / 0.72) ** 2, 0, None) ** 0.5
    ) * 15
    return drawn


def _clavicles(x: Map, y: Map, build: Build) -> Map:
    u = np.clip((np.abs(x) - 14) / (150 * build.width), 0, 1)
    line = 96 - 34 * u + 9 * np.sin(2 * np.pi * u)
    radius = 6.8 - 1.6 * np.sin(np.pi * u)
    v = (y - line) / radius
    ends = soft_step(np.abs(x) - 13, 3) * soft_step(166 * build.width - np.abs(x), 4)
    shell = np.clip(1 - v**2, 0, None) ** 0.5 - 0.4 * np.clip(1 - (v / 0.7) ** 2, 0, None) ** 0.5
    drawn: Map = 17 * shell * ends
    return drawn


def _shoulders(x: Map, y: Map, build: Build) -> Map:
    side = np.abs(x) / build.width
    head = 34 * np.sqrt(np.clip(1 - ((side - 190) / 26) ** 2 - ((y - 100) / 27) ** 2, 0, None))
    border = 140 + 0.16 * (y - 100) - 0.0011 * (y - 150) ** 2
    blade = (
        4 * soft_step(side - border, 3) * soft_step(212 - y - 0.9 * (side - 140), 8) * soft_step(y - 78, 8)
    )
    edge = 5 * np.exp(-(((side - border) / 3) ** 2)) * soft_step(208 - y, 10) * soft_step(y - 90, 8)
    return head + blade + edge
