"""Check that the files of a manifest exist and that a few of them can be scored."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from tier_cli.datasets.regions import Region
from tier_cli.errors import InputError

# Returns height and width of each image, or why it cannot be scored (tier_cli.decoding.sizes).
ReadSizes = Callable[[Sequence[str]], Mapping[str, tuple[int, int] | InputError]]

# Looking for files means waiting for the disk or the network behind it, so many threads pay off.
_THREADS, _BLOCK = 32, 256
# Boxes drawn by hand may end a pixel beyond the border.
_SLACK = 1.0


@dataclass(frozen=True)
class FileCheck:
    """Which files were looked for and read.

    Parameters
    ----------
    files
        Number of distinct paths looked for.
    read
        How many of them were decoded.
    missing, empty, missing_masks, outside
        Paths of files that do not exist, are empty, or are images with boxes outside them.
    unreadable
        ``path: reason`` of decoded images that cannot be scored.
    """

    files: int
    read: int
    missing: tuple[str, ...]
    empty: tuple[str, ...]
    missing_masks: tuple[str, ...]
    unreadable: tuple[str, ...]
    outside: tuple[str, ...]


def check_files(
    paths: Sequence[str], found: Sequence[tuple[Region, ...]], read_sizes: ReadSizes, sample: int, seed: int
) -> FileCheck:
    """Look for every file; read `sample` images drawn at random and as many of those with boxes."""
    distinct = list(dict.fromkeys(paths))
    sizes = _sizes(distinct)
    masks = list(dict.fromkeys(region.path for row in found for region in row if region.path))
    boxes = {path: row for path, row in zip(paths, found, strict=True) if row}
    there = [path for path in distinct if sizes[path]]
    unsized = [path for path in there if any(r.box and not r.size for r in boxes.get(path, ()))]
    rng = np.random.default_rng(seed)
    drawn = list(dict.fromkeys([*_draw(there, sample, rng), *_draw(unsized, sample, rng)]))
    shapes = read_sizes(drawn)
    return FileCheck(
        files=len(distinct),
        read=len(drawn),
        missing=tuple(path for path in distinct if sizes[path] is None),
        empty=tuple(path for path in distinct if sizes[path] == 0),
        missing_masks=tuple(path for path, size in _sizes(masks).items() if size is None),
        unreadable=tuple(
            f"{path}: {error.reason}" for path, error in shapes.items() if isinstance(error, InputError)
        ),
        outside=tuple(path for path, row in boxes.items() if _outside(row, shapes.get(path))),
    )


def _sizes(paths: Sequence[str]) -> dict[str, int | None]:
    """Return the bytes of each file, None where no file exists."""
    blocks = [paths[start : start + _BLOCK] for start in range(0, len(paths), _BLOCK)]
    with ThreadPoolExecutor(_THREADS) as pool:
        sizes = [size for block in pool.map(_block, blocks) for size in block]
    return dict(zip(paths, sizes, strict=True))


def _block(paths: Sequence[str]) -> list[int | None]:
    return [_size(path) for path in paths]


def _size(path: str) -> int | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _draw(paths: Sequence[str], sample: int, rng: np.random.Generator) -> list[str]:
    if len(paths) <= sample:
        return list(paths)
    return [paths[place] for place in np.sort(rng.choice(len(paths), sample, replace=False))]


def _outside(row: Sequence[Region], shape: tuple[int, int] | InputError | None) -> bool:
    """Return whether a box extends beyond its image or, without the image's size, begins before 0."""
    for region in row:
        if region.box is None:
            continue
        x0, y0, x1, y1 = region.box
        size = region.size or (shape if isinstance(shape, tuple) else None)
        if min(x0, y0) < -_SLACK or (size and (y1 > size[0] + _SLACK or x1 > size[1] + _SLACK)):
            return True
    return False
