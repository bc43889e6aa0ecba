"""Look up grey levels where they are needed, and say where an image lies in pixels of a lower resolution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tier_cli.imaging.orientation import Orientation
from tier_cli.imaging.resample import Image, Interpolation, antialiased, to_bytes

# How many times the size to which an image is resized it has at least at a lower resolution level. With 2,
# scores moved by up to 0.007 (docs/performance.md).
OVERSIZE = 4.5
# Variances of the low-pass filters of JPEG 2000, in squares of pixels of the higher resolution: the sum of
# squared distances times coefficients of 5-3 and 9-7 (ISO/IEC 15444-1 F.3; Taubman & Marcellin 2002, 10.4).
_REVERSIBLE, _IRREVERSIBLE = -0.5, 0.46036
# What 5-3 adds to a value at each level, across and down together: it rounds every sum of neighbours down and
# then subtracts it, or rounds it half up (F.3.2). Exact where neighbours differ at random, as with any noise.
_ROUNDED_UP = 0.5
# Rows looked up at a time: numpy widens indices to 64 bits, for a whole image the largest array of all.
_ROWS = 64


class Least(NamedTuple):
    """The size to which an image will be resized.

    Parameters
    ----------
    short, long
        Length of its sides in pixels, where the one or the other matters; else 0.
    eight_bit
        Whether grey levels are reduced to 8 bits before.
    """

    short: int
    long: int
    eight_bit: bool = False

    def step(self, height: int, width: int) -> int:
        """Return how many pixels of an image, in each direction, may become one.

        Examples
        --------
        >>> Least(short=256, long=0).step(3056, 2544)
        2
        """
        sides = ((min(height, width), self.short), (max(height, width), self.long))
        return max(1, min(int(have // (OVERSIZE * need)) if need else have for have, need in sides))


class Extent(NamedTuple):
    """Where an image lies in pixels that show it smaller.

    Parameters
    ----------
    height, width
        Of the image itself.
    top, left, bottom, right
        Its edges in the pixels that show it, of which the first begins at 0 and ends at 1.
    spread
        Variance, along one axis and in squares of these pixels, of the filter that made them. Negative if it
        sharpens.
    excess
        How much their codes are too high, in steps of the codes.
    """

    height: int
    width: int
    top: float
    left: float
    bottom: float
    right: float
    spread: float = 0.0
    excess: float = 0.0

    @classmethod
    def whole(cls, height: int, width: int) -> Extent:
        """Return the extent of an image in its own pixels."""
        return cls(height, width, 0.0, 0.0, height, width)

    @classmethod
    def lattice(cls, height: int, width: int, step: int, *, reversible: bool) -> Extent:
        """Return the extent in pixels that lie where every `step`-th pixel of the image does.

        The filters of JPEG 2000 have odd lengths: a pixel of a lower resolution is centred on the first of
        the pixels that it replaces (ISO/IEC 15444-1 F.3).
        """
        shift, halving = 0.5 - 0.5 / step, _REVERSIBLE if reversible else _IRREVERSIBLE
        spread = halving / 3 * (1 - 1 / step**2)
        excess = _ROUNDED_UP * (step.bit_length() - 1) if reversible else 0.0
        return cls(height, width, shift, shift, height / step + shift, width / step + shift, spread, excess)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The left, top, right and bottom edge, as Pillow takes them."""
        return max(0.0, self.left), max(0.0, self.top), self.right, self.bottom

    def turned(self, orientation: Orientation, shape: tuple[int, ...]) -> Extent:
        """Return the extent once pixels of that shape (h, w) are upright."""
        rows, columns = shape
        height, width, top, left, bottom, right, *filtered = self
        if orientation.transposed:
            height, width, top, left, bottom, right = width, height, left, top, right, bottom
            rows, columns = columns, rows
        if orientation.upside_down:
            top, bottom = rows - bottom, rows - top
        if orientation.mirrored:
            left, right = columns - right, columns - left
        return Extent(height, width, top, left, bottom, right, *filtered)


@dataclass(frozen=True, eq=False)
class Grid:
    """Grey levels (H, W) that are looked up only where they are needed.

    Parameters
    ----------
    codes
        Unsigned integers (H, W).
    table
        The grey level of each, in [0, 1].
    hidden
        Pixels (H, W) that are black whatever their code; None for none.
    """

    codes: NDArray[np.unsignedinteger[Any]]
    table: Image
    hidden: NDArray[np.bool_] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width."""
        return self.codes.shape

    def __getitem__(self, where: tuple[slice, slice]) -> Image:
        """Return a part of the grey levels."""
        return self._look(where, self.table)

    def levels(self) -> Image:
        """Return all grey levels (H, W)."""
        found = np.empty(self.shape, np.float32)
        for start in range(0, len(found), _ROWS):
            found[start : start + _ROWS] = self._look((slice(start, start + _ROWS), slice(None)), self.table)
        return found

    def resized(self, height: int, width: int, interpolation: Interpolation, *, eight_bit: bool) -> Image:
        """Return the grey levels resized to (height, width), equal to the last bit to `levels` resized.

        Like Pillow, rows are resized first, here some at a time: never are all levels in memory.

        Parameters
        ----------
        height, width, interpolation
            As for `resize`.
        eight_bit
            Truncate grey levels to 8 bits first, and round them to 8 bits whenever they were resized.
        """
        table: NDArray[Any] = to_bytes(self.table) if eight_bit else self.table
        narrow = np.empty((self.shape[0], width), table.dtype)
        for start in range(0, self.shape[0], _ROWS):
            rows = self._look((slice(start, start + _ROWS), slice(None)), table)
            narrow[start : start + _ROWS] = antialiased(rows, len(rows), width, interpolation)
        found = antialiased(narrow, height, width, interpolation)
        return found * np.float32(1 / 255) if eight_bit else found

    def turned(self, orientation: Orientation) -> Grid:
        """Return the image upright."""
        hidden = None if self.hidden is None else orientation.upright(self.hidden)
        return replace(self, codes=orientation.upright(self.codes), hidden=hidden)

    def _look(self, where: tuple[slice, slice], table: NDArray[Any]) -> NDArray[Any]:
        codes = self.codes[where]
        found = np.empty(codes.shape, table.dtype)
        np.take(table, codes, out=found, mode="clip")
        if self.hidden is not None:
            found[self.hidden[where]] = 0
        return found


def stretched(grid: Grid) -> Grid:
    """Scale grey levels so that the extremes of those that occur become 0 and 1; the table is monotonic."""
    ends = grid.table[[grid.codes.min(), grid.codes.max()]]
    low, high = float(ends.min()), float(ends.max())
    # Constant levels stay constant and are later refused as blank.
    table = (grid.table - np.float32(low)) / np.float32(max(high - low, 1e-30))
    return replace(grid, table=np.clip(table, 0.0, 1.0))


def lowered(values: NDArray[np.float64], table: Image, excess: float) -> Image:
    """Return the table of grey levels (N,) for codes that are too high.

    Parameters
    ----------
    values, table
        What each bit pattern stands for, and its grey level.
    excess
        How much too high.

    Examples
    --------
    >>> lowered(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.5, 1.0], np.float32), 0.5).tolist()
    [0.0, 0.25, 0.75]
    """
    order = np.argsort(values, kind="stable")
    return np.interp(values - excess, values[order], table[order]).astype(np.float32)


def bend(codes: NDArray[np.unsignedinteger[Any]], values: NDArray[np.float64], table: Image) -> float:
    """Return how far the order of averaging and looking up matters, as a mean difference of grey levels.

    Parameters
    ----------
    codes
        Bit patterns (h, w) of an image that was made smaller before it was looked up.
    values, table
        What each bit pattern stands for, and its grey level.

    Returns
    -------
    The mean over blocks of 2 by 2 pixels of the difference between the mean grey level and the grey level of
    the mean; 0 for a straight table.
    """
    order = np.argsort(values, kind="stable")
    before = np.interp(_quarters(values[codes]), values[order], table[order])
    return float(np.abs(_quarters(table[codes]) - before).mean())


def _quarters(values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return the means of blocks of 2 by 2 values."""
    height, width = (length // 2 * 2 for length in values.shape)
    pairs = values[:height:2, :width] + values[1:height:2, :width]
    return (pairs[:, ::2] + pairs[:, 1::2]) / 4


def without_spread(pixels: Image, spread: float) -> Image:
    """Sharpen pixels (h, w) that were blurred, or the reverse, so that they look as if merely sampled.

    What is then resized has the sharpness of what is resized from all pixels: the variances of filters that
    follow each other add up.
    """
    for _ in range(2):
        padded = np.pad(pixels, ((1, 1), (0, 0)), mode="edge")
        sides = padded[:-2]
        sides += padded[2:]
        sides *= np.float32(-spread / 2)
        pixels = (np.float32(1 + spread) * pixels + sides).T
    return np.ascontiguousarray(pixels)
