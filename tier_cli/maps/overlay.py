"""Draw a map over the picture of its image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tier_cli.maps.regions import regions

if TYPE_CHECKING:
    from tier_cli.maps.colours import Colours
    from tier_cli.maps.explanation import TextMap
    from tier_cli.maps.patch_grid import PatchGrid

_OUTLINE = (255, 255, 255)
# What the model does not see: this share of its brightness, with lines of this distance in pixels.
_DIMMED, _HATCH, _HATCHING = 0.4, 8, 70
# The share of its brightness that a picture keeps below a map: on white bone no colour would stand out.
_BELOW_MAP = np.float32(0.75)


def scaled(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return a picture (H, W) fitted into a box, with its proportions."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR, reducing_gap=2))


def overlaid(
    picture: NDArray[np.uint8], grid: PatchGrid, one: TextMap | None, colours: Colours
) -> Image.Image:
    """Return a picture with a map over it; what the model does not see is dark and hatched.

    Parameters
    ----------
    picture
        uint8 (H, W): the upright image at any size.
    grid
        Where the patches lie in the source image.
    one
        The map; None for the picture alone.
    colours
        The colours of similarities.
    """
    rows, columns = (
        _patch_of(edges, source, length)
        for edges, source, length in zip(grid.edges, grid.size, picture.shape, strict=True)
    )
    seen_rows, seen_columns = _range(rows), _range(columns)
    inside = picture[seen_rows, seen_columns]
    place = seen_columns.start, seen_rows.start
    image = Image.fromarray(_unseen(picture)).convert("RGB")
    if one is None:
        image.paste(Image.fromarray(inside).convert("RGB"), place)
        return image
    image.paste(Image.fromarray((inside * _BELOW_MAP).astype(np.uint8)).convert("RGB"), place)
    rgba = np.rint(colours.rgba(one.values) * (1, 1, 1, 255)).astype(np.uint8)
    # Four bytes at once: a pixel takes the colour of its patch several times faster.
    whole = rgba.view(np.uint32)[..., 0]
    layer = np.ascontiguousarray(whole[np.ix_(rows[seen_rows], columns[seen_columns])])
    cover = Image.fromarray(layer.view(np.uint8).reshape(*layer.shape, 4), "RGBA")
    image.paste(cover, place, cover)
    if one.threshold is not None:
        _outline(image, one, one.threshold, grid)
    return image


def _patch_of(edges: NDArray[np.float64], source: int, length: int) -> NDArray[np.intp]:
    """Return the patch of each of `length` pixels along one axis; -1 where the model does not see it."""
    centres = (np.arange(length) + 0.5) * source / length
    found = np.searchsorted(edges, centres, side="right") - 1
    return np.where(found < len(edges) - 1, found, -1)


def _range(patches: NDArray[np.intp]) -> slice:
    seen = np.flatnonzero(patches >= 0)
    return slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, 0)


def _unseen(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    dark = (picture * np.float32(_DIMMED)).astype(np.uint8)
    for first in range(_HATCH):
        # Lines that rise to the right: one row further down begins one pixel further left.
        rows = dark[first::_HATCH, (-first) % _HATCH :: _HATCH]
        np.maximum(rows, _HATCHING, out=rows)
    return dark


def _outline(image: Image.Image, one: TextMap, threshold: float, grid: PatchGrid) -> None:
    height, width = grid.size
    pen = ImageDraw.Draw(image)
    thick = max(1, round(max(image.size) / 250))
    for region in regions(one.values, threshold, grid):
        for ring in region.rings:
            line = [(x * image.width / width, y * image.height / height) for x, y in ring]
            pen.line(line, fill=(0, 0, 0), width=thick + 2)
            pen.line(line, fill=_OUTLINE, width=thick)
