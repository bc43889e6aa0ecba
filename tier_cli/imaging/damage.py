"""Refuse images whose pixel data are damaged: what decoders say of them, and how the pixels look.

Decoders of JPEG 2000, lossless JPEG and uncompressed pixels cannot tell damage; they return noise, streaks or
parts of the image in wrong places. In a radiograph, neighbours are alike at every scale. The limits below lie
beyond all of 19,700 public chest X-rays (`docs/stress.md` has the numbers).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import InputError
from tier_cli.imaging.reduction import Grid

Rows = NDArray[np.floating[Any]]

_SIDE = 256
# Rows with a standard deviation below this show too little to be compared.
_TEXTURE = 0.1
_LEAST_LIKENESS = 0.1
_MOST_STREAKS = 20.0
_BLACK, _WHITE, _MOST_WHITE = 0.04, 0.997, 0.75
_BAND, _BAND_EDGE = 0.3, 0.15
_CELLS, _MOST_UNREST = 32, 0.55
_TILE, _TILE_NOISE, _NOISY_TILES = 8, 0.15, 0.2


def damaged(fault: str, path: str) -> InputError:
    """Return the error of damaged pixel data; `fault` calls the image "it"."""
    remedy = "copy or export the file again"
    return InputError(f"the image is damaged: {fault}", where=path, remedy=remedy, kind="damaged")


def check_whole(
    pixels: NDArray[np.float32] | Grid,
    path: str,
    notes: list[str],
    *,
    accept_any: bool = False,
    equalised: bool = False,
) -> None:
    """Refuse displayed pixels (H, W) that no radiograph has, or note them with `accept_any`.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].
    path
        The file, for the message.
    notes
        Receives the reason if `accept_any` overrules it.
    accept_any
        Accept them.
    equalised
        Whether their histogram was equalised, which brings out seams and streaks in whole images.

    Raises
    ------
    InputError
        Of kind ``damaged``.
    """
    if fault := fault_of(pixels, equalised=equalised):
        if not accept_any:
            raise damaged(fault, path)
        notes.append(f"accepted although the image looks damaged: {fault}")


def fault_of(pixels: NDArray[np.float32] | Grid, *, equalised: bool = False) -> str:
    """Return why displayed pixels (H, W) cannot be a whole radiograph; "" if they can."""
    steps = [-(-length // _SIDE) for length in pixels.shape]
    rows = np.ascontiguousarray(pixels[:: steps[0], :: steps[1]])
    spread = float(rows.std()) or 1.0
    if (rows >= _WHITE).mean() > _MOST_WHITE:
        return "most of it is white"
    coarse = rows[:: -(-2 * len(rows) // _SIDE), :: -(-2 * rows.shape[1] // _SIDE)]
    if _unrest(coarse) > _MOST_UNREST * spread:
        return "its dark and bright parts alternate as in no radiograph"
    across, down = np.abs(np.diff(coarse, axis=1))[1:], np.abs(np.diff(coarse, axis=0))[:, 1:]
    if (_means((across + down) / 2, _TILE) > _TILE_NOISE).mean() > _NOISY_TILES:
        return "parts of it are noise"
    if equalised:
        return ""
    means = rows.mean(axis=1)
    for lines, name in ((means, "rows"), (rows.mean(axis=0), "columns")):
        if np.abs(np.diff(lines, 2)).mean() * len(lines) > _MOST_STREAKS * spread:
            return f"its {name} differ in brightness from the next ones"
    bare = rows - means[:, None]
    spreads = np.sqrt(np.einsum("ij,ij->i", bare, bare) / bare.shape[1])
    if _has_band(means, spreads):
        return "a part of it is missing"
    # Decoders work row by row: what is lost or gained moves whole rows.
    if _likeness(bare, spreads) < _LEAST_LIKENESS:
        return "neighbouring rows do not belong together"
    return ""


def _means(values: Rows, size: int) -> Rows:
    """Return the means of tiles of `size` by `size`, without those that are incomplete."""
    height, width = (length // size for length in values.shape)
    tiles = values[: height * size, : width * size].reshape(height, size, width, size)
    means: Rows = tiles.mean(axis=(1, 3))
    return means


def _unrest(rows: Rows) -> float:
    """Return the mean curvature of the image when reduced to `_CELLS` cells on its shorter side."""
    cells = _means(rows, max(1, min(rows.shape) // _CELLS))
    return float(np.abs(np.diff(cells, 2, axis=0)).mean() + np.abs(np.diff(cells, 2, axis=1)).mean()) / 2


def _likeness(bare: Rows, spreads: Rows) -> float:
    """Return the lowest correlation of neighbouring rows (N, W), given without their means.

    Across a seam, none of the nearest three pairs of rows is correlated. A wire or a caption is thinner.
    Rows that show little are left out.
    """
    alike = []
    for lag, first in ((1, 2), (3, 1), (5, 0)):
        products = np.einsum("ij,ij->i", bare[:-lag], bare[lag:]) / bare.shape[1]
        both = np.maximum(spreads[:-lag] * spreads[lag:], 1e-12)
        alike.append((products / both)[first : first + len(bare) - 5])
    shown = np.minimum.reduce([spreads[start : start + len(bare) - 5] for start in (0, 2, 3, 5)]) > _TEXTURE
    return float(np.maximum.reduce(alike)[shown].min(initial=1.0))


def _has_band(means: Rows, spreads: Rows) -> bool:
    """Return whether a band of rows of one grey level has no equal one at the other end of the image.

    A black one must end abruptly: images of lungs alone fade into black.
    """
    constant = np.concatenate([[False], spreads < 1e-4, [False]])
    edges = np.flatnonzero(constant[1:] != constant[:-1]).reshape(-1, 2)
    if not len(edges):
        return False
    length = len(means)
    start, end = edges[np.argmax(edges[:, 1] - edges[:, 0])]
    opposite = [b - a for a, b in edges if (start == 0 and b == length) or (end == length and a == 0)]
    # The first row may be constant only in part.
    beside = [means[line] for line in (start - 2, start - 1, end, end + 1) if 0 <= line < length]
    jump = max((abs(float(mean - means[start])) for mean in beside), default=0.0)
    longer = end - start - (opposite[0] if opposite and opposite[0] < end - start else 0)
    return bool(longer > _BAND * length and (jump > _BAND_EDGE or means[start] > _BLACK))
