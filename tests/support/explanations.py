"""Make explanations of images, for tests of what shows them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from xrays import picture

from tier_cli.maps.explanation import Explanation, TextMap, TokenMaps
from tier_cli.maps.patch_grid import PatchGrid
from tier_cli.maps.scale import MapScale
from tier_cli.results.record import FindingScore, Reference

# The model sees a square in the middle of a portrait image: margins above and below.
GRID = PatchGrid(3, 4, 24, ((10.0, 0.0, 4.5), (0.0, 10.0, 64.5)), (360, 240))
SCALE = MapScale({"difference": (-0.5, 1.0), "positive": (-1.0, 1.0), "phrase": (0.0, 1.0)}, {}, "")
REFERENCE = Reference(threshold=0.1, low=-0.2, high=0.05, probability=0.2)


def values(seed: int, grid: PatchGrid = GRID) -> NDArray[np.float64]:
    """Return similarities (h, w) that differ between seeds."""
    return np.random.default_rng(seed).uniform(-0.2, 0.4, (grid.rows, grid.columns))


def one_high(row: int, column: int, grid: PatchGrid = GRID) -> NDArray[np.float64]:
    """Return a map that is 1 in one patch and 0 in the others."""
    found = np.zeros((grid.rows, grid.columns))
    found[row, column] = 1.0
    return found


def tokens(text: str, spans: tuple[tuple[int, int], ...], grid: PatchGrid = GRID) -> TokenMaps:
    """Return maps of tokens, each highest in another patch."""
    maps = [
        np.roll(np.linspace(0.9, 0.1, grid.rows * grid.columns), number).reshape(grid.rows, -1)
        for number in range(len(spans))
    ]
    return TokenMaps(text, spans, np.reshape(maps, (len(maps), grid.rows, grid.columns)))


def finding(name: str = "Pleural effusion", seed: int = 0, **more: object) -> TextMap:
    """Return the map of a finding with its score; keywords replace its fields."""
    score = FindingScore(name, 0.176, 0.65, True, REFERENCE)
    fields = {"values": values(seed), "score": score, "kind": "difference", **more}
    return TextMap(name, name, **fields)  # type: ignore[arg-type]


def explanation(*maps: TextMap, title: str = "study/a.dcm", **more: object) -> Explanation:
    """Return an image at half the size of its source; keywords replace its fields."""
    fields = {"grid": GRID, "scale": SCALE, "model": "tiny", "picture": picture(0, 180, 120), **more}
    return Explanation(title=title, maps=maps or (finding(),), **fields)  # type: ignore[arg-type]
