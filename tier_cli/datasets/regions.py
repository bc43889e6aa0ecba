"""Read and write the boxes and masks of findings in the columns `boxes` and `mask` of a manifest."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.datasets.manifest import Manifest
from tier_cli.datasets.rle import decode_mask, from_coco
from tier_cli.errors import InputError, ManifestError
from tier_cli.imaging.guard import guarded
from tier_cli.imaging.limits import MAX_PIXELS

if TYPE_CHECKING:
    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.orientation import Orientation

_REMEDY = {
    "boxes": '[{"finding": "pneumothorax", "box": [x0, y0, x1, y1]}]',
    "mask": '[{"finding": "pneumothorax", "size": [height, width], "counts": [...]}]',
}


@dataclass(frozen=True)
class Region:
    """A region of an image that shows one finding.

    Parameters
    ----------
    finding
        Its id, or a name that a finding set knows.
    text
        The phrase that describes it, or empty.
    box
        ``(x0, y0, x1, y1)`` in pixels, the last column and row excluded.
    size
        ``(height, width)`` of the image that `box` or `counts` refer to; None = the image's own.
    counts
        COCO run lengths of a mask of `size`.
    path
        A mask image, white where the finding is.
    """

    finding: str
    text: str = ""
    box: tuple[float, float, float, float] | None = None
    size: tuple[int, int] | None = None
    counts: tuple[int, ...] | None = None
    path: str | None = None

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """Return the region as a mask (H, W), scaled to this height and width where its own size differs.

        A region smaller than a pixel keeps the pixels that it touches.

        Raises
        ------
        InputError
            The mask file is missing or cannot be read.
        """
        if self.box is not None:
            return _box_mask(self.box, self.size or (height, width), (height, width))
        if self.counts is not None and self.size is not None:
            return _resized(decode_mask(self.counts, self.size), (height, width))
        return _resized(_picture(self.path or ""), (height, width))


def regions(manifest: Manifest) -> list[tuple[Region, ...]]:
    """Read the columns `boxes` and `mask`: one tuple per row, empty where a row has neither.

    Raises
    ------
    ManifestError
        A cell is not a list of boxes or masks; the error names its image and column.
    """
    read = region_reader(manifest)
    return [read(row) for row in range(len(manifest))]


def region_reader(manifest: Manifest) -> Callable[[int], tuple[Region, ...]]:
    """Return what reads the regions of a row, so that those of many rows need not be held at once.

    The function raises `ManifestError` as `regions` does.
    """
    paths = manifest.paths
    cells = {name: list(manifest.frame[name]) for name in _REMEDY if name in manifest.frame.columns}

    def read(row: int) -> tuple[Region, ...]:
        found: tuple[Region, ...] = ()
        for column, values in cells.items():
            if cell := str(values[row]):
                where = f"{manifest.origin}, column {column!r}, image {paths[row]}"
                found += _cell(cell, column, where, manifest.root)
        return found

    return read


def by_finding(
    row: Iterable[Region], findings: FindingSet, unknown: Counter[str] | None = None
) -> dict[str, tuple[Region, ...]]:
    """Return the regions of an image by the id of their finding, whatever phrase describes them.

    Regions of findings that are not in the set are left out, and counted by name in `unknown`.
    """
    grouped: dict[str, tuple[Region, ...]] = {}
    for region in row:
        known = findings.match(region.finding)
        if known is not None:
            grouped[known.id] = (*grouped.get(known.id, ()), region)
        elif unknown is not None:
            unknown[region.finding] += 1
    return grouped


def upright_mask(
    parts: Iterable[Region], size: tuple[int, int], orientation: Orientation
) -> NDArray[np.bool_]:
    """Return regions as one mask (H, W) of the upright image.

    Parameters
    ----------
    parts
        Regions in the pixels of the file, which may be displayed rotated or mirrored.
    size, orientation
        Height and width of the upright image, and how it was turned relative to the file.

    Raises
    ------
    InputError
        A mask file is missing or cannot be read.
    """
    height, width = orientation.swapped(size)
    stored = np.zeros((height, width), dtype=bool)
    for part in parts:
        stored |= part.mask(height, width)
    return orientation.upright(stored)


def boxes_cell(found: Iterable[Region]) -> str:
    """Write regions with boxes as a cell of the column `boxes`; blank without any."""
    return _written([region for region in found if region.box is not None])


def mask_cell(found: Iterable[Region]) -> str:
    """Write regions with run lengths or mask files as a cell of the column `mask`; blank without any."""
    return _written([region for region in found if region.box is None])


def _written(found: list[Region]) -> str:
    entries = []
    for region in found:
        values = {
            "finding": region.finding,
            "text": region.text or None,
            "box": region.box,
            "size": region.size,
            "counts": region.counts,
            "path": region.path,
        }
        entries.append({key: value for key, value in values.items() if value is not None})
    return json.dumps(entries, ensure_ascii=False, separators=(",", ":")) if entries else ""


def _cell(cell: str, column: str, where: str, root: str) -> tuple[Region, ...]:
    try:
        entries = json.loads(cell)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError("not a list of objects")
        read = _boxed if column == "boxes" else _masked
        found = tuple(read(entry) for entry in entries)
    except (ValueError, RecursionError) as error:
        what = "not JSON" if isinstance(error, json.JSONDecodeError | RecursionError) else str(error)
        raise ManifestError(what, where=where, remedy=f"write {_REMEDY[column]}") from error
    return tuple(
        replace(region, path=os.path.join(root, region.path)) if region.path else region for region in found
    )


def _boxed(entry: Mapping[str, Any]) -> Region:
    box = entry.get("box")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise ValueError("the box is not four numbers")
    x0, y0, x1, y1 = (float(number) for number in box)
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"the box {box} is empty")
    return Region(_finding(entry), _text(entry), (x0, y0, x1, y1), _size(entry))


def _masked(entry: Mapping[str, Any]) -> Region:
    path = entry.get("path")
    if path is not None:
        if not isinstance(path, str) or not path:
            raise ValueError("the path of the mask is not a string")
        return Region(_finding(entry), _text(entry), path=path)
    size = _size(entry)
    if size is None:
        raise ValueError("the mask has no size")
    return Region(_finding(entry), _text(entry), size=size, counts=from_coco(entry.get("counts"), size))


def _finding(entry: Mapping[str, Any]) -> str:
    finding = entry.get("finding")
    if not isinstance(finding, str) or not finding.strip():
        raise ValueError("the region has no finding")
    return finding


def _text(entry: Mapping[str, Any]) -> str:
    text = entry.get("text", "")
    if not isinstance(text, str):
        raise ValueError("the text of the region is not a string")
    return text


def _size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    size = entry.get("size")
    return None if size is None else image_size(size)


def image_size(size: object) -> tuple[int, int]:
    """Check a list of height and width, and return it.

    Raises
    ------
    ValueError
        It is not two whole numbers, or not the size of an image.
    """
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int for side in size):
        raise ValueError("the size of the region is not [height, width]")
    height, width = size
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"the size {size} of the region is not possible")
    return height, width


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(float(str(value)))


def _box_mask(
    box: tuple[float, float, float, float], size: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    down, across = shape[0] / size[0], shape[1] / size[1]
    x0, y0, x1, y1 = box
    rows = _span(y0 * down, y1 * down, shape[0])
    mask[rows, _span(x0 * across, x1 * across, shape[1])] = True
    return mask


def _span(start: float, end: float, length: int) -> slice:
    """Return the pixels whose centres lie in [start, end), or else the pixel around its middle."""
    first, last = math.ceil(start - 0.5), math.ceil(end - 0.5)
    if first >= last:
        first = math.floor((start + end) / 2)
        last = first + 1
    return slice(min(max(first, 0), length), min(max(last, 0), length))


def _resized(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Resample a mask to `shape`: each pixel takes the value under its centre."""
    if mask.shape == shape:
        return mask
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(shape, mask.shape, strict=True)
    )
    resized: NDArray[np.bool_] = mask[np.ix_(rows, columns)]
    if mask.any() and not resized.any():
        set_rows, set_columns = np.nonzero(mask)
        resized[set_rows * shape[0] // mask.shape[0], set_columns * shape[1] // mask.shape[1]] = True
    return resized


def _picture(path: str) -> NDArray[np.bool_]:
    from PIL import Image

    if not os.path.isfile(path):
        raise InputError("no such mask file", where=path, remedy="check the path", kind="missing")
    with guarded(path, "the mask"), Image.open(path, formats=("PNG", "JPEG", "TIFF", "BMP", "GIF")) as image:
        pixels = np.asarray(image if image.mode in ("1", "L", "I;16", "I") else image.convert("L"))
    # White is 1, 255 or 65535, and edges are grey in a JPEG: half of the brightest value separates them.
    return np.asarray(pixels > pixels.max() / 2, dtype=bool)
