"""Draw the round tubes of the synthetic chest: branching vessels, bronchi, wires and catheters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tier_cli.phantom.shapes import Map

# x, y of one end, x, y of the other, radius; in millimetres.
Tube = tuple[float, float, float, float, float]

_THINNEST = 0.6
# At the edge of its window a tube's thickness has fallen to exp(-3.2 ** 2).
_RIM = 3.2


def draw_vessels(x: Map, y: Map, rng: np.random.Generator) -> Map:
    """Draw tubes that branch from each hilum and thin out towards the wall, in millimetres (H, W)."""
    tubes: list[Tube] = []
    for sign, cy in ((-1.0, 190.0), (1.0, 182.0)):
        for angle in np.linspace(-1.45, 1.35, 10):
            start = (sign * 36.0, cy + 12 * float(angle))
            _branch(tubes, start, float(angle + rng.normal(0, 0.08)), sign, 4.0, rng)
    total = np.zeros_like(x)
    draw_tubes(total, x, y, tubes)
    return total


def draw_tubes(total: Map, x: Map, y: Map, tubes: Sequence[Tube], thickness: float = 3.4) -> None:
    """Draw tubes into `total` (H, W) in place; where they overlap, the greater thickness counts.

    Parameters
    ----------
    total, x, y
        Thickness in millimetres so far, and the coordinates of the pixels.
    tubes
        The tubes to draw.
    thickness
        Thickness in the middle of a tube, in units of its radius.
    """
    given = np.asarray(tubes, dtype=np.float64).reshape(-1, 5)
    corner, size = _windows(given, x, y)
    # Tubes with windows of one size are drawn together, as a loop over single tubes is much slower.
    for side in np.unique(size):
        chosen = size == side
        _draw_windows(total, x, y, given[chosen], corner[chosen], int(side), thickness)


def _branch(
    tubes: list[Tube],
    start: tuple[float, float],
    angle: float,
    sign: float,
    radius: float,
    rng: np.random.Generator,
) -> None:
    if radius < _THINNEST:
        return
    length = rng.uniform(11, 20) * (0.5 + radius / 4)
    end = (start[0] + sign * length * np.cos(angle), start[1] + length * np.sin(angle))
    tubes.append((*start, *end, radius))
    for turn in (rng.uniform(-0.12, 0.12), (-1, 1)[int(rng.integers(2))] * rng.uniform(0.35, 0.8)):
        _branch(tubes, end, angle + turn, sign, radius * (0.84 if abs(turn) < 0.2 else 0.58), rng)


def _windows(tubes: Map, x: Map, y: Map) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first row and column (N, 2) of the square around each tube, and its side in pixels (N,)."""
    across, down = x[0, 1] - x[0, 0], y[0, 1] - y[0, 0]
    square = across**2 + down**2
    u, v = tubes[:, [0, 2]] - x[0, 0], tubes[:, [1, 3]] - y[0, 0]
    columns, rows = (across * u + down * v) / square, (across * v - down * u) / square
    rim = _RIM * tubes[:, 4] / np.sqrt(square)
    ends = np.stack([rows, columns], axis=1)
    first, last = ends.min(axis=2) - rim[:, None], ends.max(axis=2) + rim[:, None]
    size = np.ceil(last - first).max(axis=1).astype(np.int64) + 1
    # Round up to few different sizes: 4, 6, 8, 12, 16, 24, ... pixels.
    power = 2 ** np.floor(np.log2(np.maximum(size - 1, 2))).astype(np.int64)
    return np.floor(first).astype(np.int64), np.where(size <= power * 3 // 2, power * 3 // 2, power * 2)


def _draw_windows(
    total: Map, x: Map, y: Map, tubes: Map, corner: NDArray[np.int64], side: int, thickness: float
) -> None:
    height, width = total.shape
    step = np.arange(side)
    rows = np.clip(corner[:, 0, None] + step, 0, height - 1)[:, :, None]
    columns = np.clip(corner[:, 1, None] + step, 0, width - 1)[:, None, :]
    ax, ay, bx, by, radius = (tubes[:, number, None, None] for number in range(5))
    u, v = x[rows, columns] - ax, y[rows, columns] - ay
    du, dv = bx - ax, by - ay
    along = np.clip((u * du + v * dv) / (du**2 + dv**2), 0, 1)
    squared = (u - along * du) ** 2 + (v - along * dv) ** 2
    np.maximum.at(total, (rows, columns), thickness * radius * np.exp(-squared / radius**2))
