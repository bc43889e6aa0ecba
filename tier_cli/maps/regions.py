"""Find connected patches that stand out, and draw a line around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tier_cli.maps.explanation import TextMap
    from tier_cli.maps.patch_grid import PatchGrid

Cell = tuple[int, int]
Ring = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Region:
    """Patches that touch along their sides and reach a threshold.

    Parameters
    ----------
    patches
        Row and column of each.
    rings
        Closed lines (x, y) in source pixels, inside the image: the outline, then the holes.
    mean, peak
        The mean and the greatest similarity of the patches.
    """

    patches: tuple[Cell, ...]
    rings: tuple[Ring, ...]
    mean: float
    peak: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The box (x0, y0, x1, y1) around the region in source pixels."""
        xs, ys = zip(*self.rings[0], strict=True)
        return min(xs), min(ys), max(xs), max(ys)


def regions(values: NDArray[np.floating], threshold: float, grid: PatchGrid) -> list[Region]:
    """Return the regions of a map (h, w) whose patches reach a threshold, the highest peak first.

    Patches of which the image has no pixel are left out.
    """
    seen = seen_patches(grid)
    with np.errstate(invalid="ignore"):
        left = {(int(row), int(column)) for row, column in np.argwhere((values >= threshold) & seen)}
    found = []
    while left:
        cells = _connected(left.pop(), left)
        own = [float(values[cell]) for cell in cells]
        rings = tuple(_in_source(ring, grid) for ring in _rings(cells))
        found.append(Region(tuple(sorted(cells)), rings, float(np.mean(own)), max(own)))
    return sorted(found, key=lambda region: region.peak, reverse=True)


def seen_patches(grid: PatchGrid) -> NDArray[np.bool_]:
    """Return which patches (h, w) cover a part of the image."""
    inside = []
    for edges, length in zip(grid.edges, grid.size, strict=True):
        inside.append((edges[:-1] < length) & (edges[1:] > 0))
    return np.outer(*inside)


def peak_of(values: NDArray[np.floating], grid: PatchGrid) -> tuple[float, float, float] | None:
    """Return the middle (x, y) of the highest patch in source pixels and its similarity; None without one."""
    shown = np.where(seen_patches(grid) & np.isfinite(values), values, -np.inf)
    row, column = np.unravel_index(int(np.argmax(shown)), shown.shape)
    if not np.isfinite(shown[row, column]):
        return None
    x0, y0, x1, y1 = grid.box(int(row), int(column))
    height, width = grid.size
    x, y = (max(x0, 0) + min(x1, width)) / 2, (max(y0, 0) + min(y1, height)) / 2
    return x, y, float(values[row, column])


def stored(grid: PatchGrid, x: float, y: float) -> tuple[float, float]:
    """Return where the file stores a point of the source image; pixel k covers k to k + 1 in both."""
    x0, y0, _, _ = grid.stored_box((x, y, x, y))
    return x0, y0


def feature_collection(maps: tuple[TextMap, ...], grid: PatchGrid) -> dict[str, Any]:
    """Return the regions of all maps in the manner of GeoJSON (RFC 7946).

    Coordinates are pixels of the image as its file stores it, y downwards; pixel k covers k to k + 1.
    """
    return {
        "type": "FeatureCollection",
        "coordinates": "pixels of the image as its file stores it, x to the right, y down",
        "size": list(grid.stored_size),
        "features": [
            {
                "type": "Feature",
                "bbox": [round(value, 2) for value in grid.stored_box(region.box)],
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [
                        [[round(value, 2) for value in stored(grid, x, y)] for x, y in ring]
                        for ring in region.rings
                    ],
                },
                "properties": {
                    "finding": one.name,
                    "label": one.label,
                    "similarity": one.kind,
                    "threshold": one.threshold,
                    "mean": round(region.mean, 6),
                    "peak": round(region.peak, 6),
                    "patches": len(region.patches),
                },
            }
            for one in maps
            if one.threshold is not None
            for region in regions(one.values, one.threshold, grid)
        ],
    }


def _connected(first: Cell, left: set[Cell]) -> set[Cell]:
    """Return all cells that are connected with the first one, and remove them from `left`."""
    found, edge = {first}, [first]
    while edge:
        row, column = edge.pop()
        for cell in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if cell in left:
                left.remove(cell)
                found.add(cell)
                edge.append(cell)
    return found


def _rings(cells: set[Cell]) -> list[list[Cell]]:
    """Return the lines around cells as corners (row, column), closed: the outline, then the holes."""
    ways: dict[Cell, list[Cell]] = {}
    for start, end in _sides(cells):
        ways.setdefault(start, []).append(end)
    rings = []
    while ways:
        start = min(ways)
        ring, last = [start], (0, 0)
        while True:
            here = ring[-1]
            # Where two lines cross, the one that turns right stays at the same cell.
            ends = sorted(ways[here], key=lambda end: end != _right_of(here, last))
            ring.append(ends[0])
            ways[here].remove(ends[0])
            if not ways[here]:
                del ways[here]
            last = (ring[-1][0] - here[0], ring[-1][1] - here[1])
            if ring[-1] == start:
                break
        rings.append(_corners(ring))
    # The outline is the only ring that runs clockwise, as the picture is seen.
    return sorted(rings, key=_area, reverse=True)


def _sides(cells: set[Cell]) -> Iterator[tuple[Cell, Cell]]:
    """Yield the sides of cells that no two share, with the cell on the right of each."""
    for row, column in cells:
        if (row - 1, column) not in cells:
            yield (row, column), (row, column + 1)
        if (row, column + 1) not in cells:
            yield (row, column + 1), (row + 1, column + 1)
        if (row + 1, column) not in cells:
            yield (row + 1, column + 1), (row + 1, column)
        if (row, column - 1) not in cells:
            yield (row + 1, column), (row, column)


def _right_of(here: Cell, last: Cell) -> Cell:
    # Rows run down: (0, 1) to the right is followed by (1, 0) down.
    return here[0] + last[1], here[1] - last[0]


def _corners(ring: list[Cell]) -> list[Cell]:
    """Leave out the points on straight lines; the first point, which is repeated at the end, is a corner."""
    kept = [
        here
        for before, here, after in zip(ring, ring[1:], ring[2:], strict=False)
        if (before[0] == here[0]) != (here[0] == after[0])
    ]
    return [ring[0], *kept, ring[0]]


def _area(ring: list[Cell]) -> float:
    """Return the area within a ring; negative if it runs anticlockwise."""
    return sum(c0 * r1 - c1 * r0 for (r0, c0), (r1, c1) in pairwise(ring)) / 2


def _in_source(ring: list[Cell], grid: PatchGrid) -> Ring:
    down, across = grid.edges
    height, width = grid.size
    return tuple(
        (min(max(float(across[column]), 0.0), width), min(max(float(down[row]), 0.0), height))
        for row, column in ring
    )
