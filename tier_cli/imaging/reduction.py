"""Say how small an image may be read, where it then lies in its pixels, and average blocks of pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tier_cli.imaging.resample import resize

Image = NDArray[np.float32]
# How many times the size to which an image is resized it has at least after averaging, and at a lower
# resolution level: with less, scores of the bundled checkpoint differ by more than 0.002.
_AVERAGED, _LOWER = 4, 2
# Variances of the low-pass filters of JPEG 2000, in squares of pixels of the higher resolution: the sum of
# squared distances times coefficients of 5-3 and 9-7 (ISO/IEC 15444-1 F.3; Taubman & Marcellin 2002, 10.4).
_REVERSIBLE, _IRREVERSIBLE = -0.5, 0.46036
# Rows looked up at a time: numpy widens indices to 64 bits, for a whole image the largest array of all.
_ROWS = 64


class Least(NamedTuple):
    """The size to which an image will be resized.

    Parameters
    ----------
    short, long
        Length of its sides in pixels, where the one or the other matters; else 0.
    eight_bit
        Whether grey levels are reduced to 8 bits, which must happen before pixels are averaged.
    """

    short: int
    long: int
    eight_bit: bool = False

    def averaged(self, height: int, width: int) -> int:
        """Return how many pixels of an image, in each direction, may be averaged.

        Examples
        --------
        >>> Least(short=256, long=0).averaged(3056, 2544)
        2
        """
        return self._step(height, width, _AVERAGED)

    def lower(self, height: int, width: int) -> int:
        """Return how many pixels, in each direction, may be one at a lower resolution level."""
        return self._step(height, width, _LOWER)

    def _step(self, height: int, width: int, times: int) -> int:
        sides = ((min(height, width), self.short), (max(height, width), self.long))
        return max(1, min(have // (times * need) if need else have for have, need in sides))


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
    """

    height: int
    width: int
    top: float
    left: float
    bottom: float
    right: float
    spread: float = 0.0

    @classmethod
    def whole(cls, height: int, width: int) -> Extent:
        """Return the extent of an image in its own pixels."""
        return cls(height, width, 0.0, 0.0, height, width)

    @classmethod
    def blocks(cls, height: int, width: int, step: int) -> Extent:
        """Return the extent in pixels that are the means of blocks of `step` by `step` pixels."""
        return cls(height, width, 0.0, 0.0, height / step, width / step, (1 - 1 / step**2) / 12)

    @classmethod
    def lattice(cls, height: int, width: int, step: int, *, reversible: bool) -> Extent:
        """Return the extent in pixels that lie where every `step`-th pixel of the image does.

        The filters of JPEG 2000 have odd lengths: a pixel of a lower resolution is centred on the first of
        the pixels that it replaces (ISO/IEC 15444-1 F.3).
        """
        shift, halving = 0.5 - 0.5 / step, _REVERSIBLE if reversible else _IRREVERSIBLE
        spread = halving / 3 * (1 - 1 / step**2)
        return cls(height, width, shift, shift, height / step + shift, width / step + shift, spread)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The left, top, right and bottom edge, as Pillow takes them."""
        return max(0.0, self.left), max(0.0, self.top), self.right, self.bottom

    def doubled(self) -> Extent:
        """Return the extent in twice as many pixels."""
        edges = (2 * edge for edge in (self.top, self.left, self.bottom, self.right))
        return Extent(self.height, self.width, *edges)

    def turned(
        self, shape: tuple[int, ...], *, transposed: bool, mirrored: bool, upside_down: bool
    ) -> Extent:
        """Return the extent once pixels of that shape (h, w) are turned; see `Orientation`."""
        rows, columns = shape
        height, width, top, left, bottom, right, spread = self
        if transposed:
            height, width, top, left, bottom, right = width, height, left, top, right, bottom
            rows, columns = columns, rows
        if upside_down:
            top, bottom = rows - bottom, rows - top
        if mirrored:
            left, right = columns - right, columns - left
        return Extent(height, width, top, left, bottom, right, spread)


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

    def means(self, step: int, *, eight_bit: bool = False) -> Image:
        """Return the means of blocks of `step` by `step` grey levels, those at the ends of what is left.

        Parameters
        ----------
        step
            Pixels per block and direction.
        eight_bit
            Truncate grey levels to 8 bits first.
        """
        table = truncated(self.table) if eight_bit else self.table
        return _means(self.shape, step, lambda rows: self._look((rows, slice(None)), table))

    def _look(self, where: tuple[slice, slice], table: Image) -> Image:
        codes = self.codes[where]
        found = np.empty(codes.shape, np.float32)
        np.take(table, codes, out=found, mode="clip")
        if self.hidden is not None:
            found[self.hidden[where]] = 0.0
        return found


def truncated(levels: Image) -> Image:
    """Return grey levels in [0, 1] truncated to 8 bits, as programs do that work on 8-bit files."""
    # The small addend preserves values that were 8-bit before.
    whole = (levels * np.float32(255) + np.float32(1e-3)).astype(np.uint8)
    return whole * np.float32(1 / 255)


def means_of(pixels: Image, step: int, *, eight_bit: bool = False) -> Image:
    """Return the means of blocks of grey levels (H, W), as `Grid.means` does."""
    return _means(pixels.shape, step, lambda rows: truncated(pixels[rows]) if eight_bit else pixels[rows])


def stretched(grid: Grid) -> Grid:
    """Scale grey levels so that the extremes of those that occur become 0 and 1; the table is monotonic."""
    ends = grid.table[[grid.codes.min(), grid.codes.max()]]
    low, high = float(ends.min()), float(ends.max())
    # Constant levels stay constant and are later refused as blank.
    table = (grid.table - np.float32(low)) / np.float32(max(high - low, 1e-30))
    return replace(grid, table=np.clip(table, 0.0, 1.0))


def _means(shape: tuple[int, ...], step: int, rows_of: Callable[[slice], Image]) -> Image:
    height, width = shape
    found = np.empty((math.ceil(height / step), math.ceil(width / step)), np.float32)
    strip = step * max(1, _ROWS // step)
    # Blocks at the lower and the right end may be incomplete.
    columns = np.full(found.shape[1], step, np.float32)
    columns[-1] = width - step * (found.shape[1] - 1)
    for start in range(0, height, strip):
        rows = rows_of(slice(start, start + strip))
        counts = np.full(math.ceil(len(rows) / step), step, np.float32)
        counts[-1] = len(rows) - step * (len(counts) - 1)
        sums = rows[::step].copy()
        for line in range(1, step):
            part = rows[line::step]
            sums[: len(part)] += part
        totals = sums[:, ::step].copy()
        for line in range(1, step):
            part = sums[:, line::step]
            totals[:, : part.shape[1]] += part
        totals /= counts[:, None] * columns
        found[start // step : start // step + len(counts)] = totals
    return found


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
    height, width = (length // 2 * 2 for length in codes.shape)
    blocks = codes[:height, :width]
    order = np.argsort(values, kind="stable")
    mean = means_of(values.astype(np.float32)[blocks], 2)
    before = np.interp(mean, values[order], table[order])
    return float(np.abs(means_of(table[blocks], 2) - before).mean())


def smaller(levels: Image | Grid, extent: Extent | None, least: Least | None) -> tuple[Image, Extent | None]:
    """Return grey levels no larger than they have to be, and where the image lies in them.

    Parameters
    ----------
    levels
        Grey levels (H, W).
    extent
        Where the image lies in them if they are fewer than its pixels; they are not averaged then.
    least
        The size that is enough; None for all pixels.
    """
    eight_bit = least is not None and least.eight_bit
    step = least.averaged(levels.shape[0], levels.shape[1]) if least and extent is None else 1
    if step > 1:
        shown = Extent.blocks(levels.shape[0], levels.shape[1], step)
        if isinstance(levels, Grid):
            means = levels.means(step, eight_bit=eight_bit)
        else:
            means = means_of(levels, step, eight_bit=eight_bit)
        return _without_spread(means, shown.spread), shown
    whole = levels.levels() if isinstance(levels, Grid) else levels
    if extent is None:
        return whole, None
    sharp = _without_spread(truncated(whole) if eight_bit else whole, extent.spread)
    # Filters that follow would take so few pixels for steps.
    return resize(sharp, 2 * sharp.shape[0], 2 * sharp.shape[1], "lanczos"), extent.doubled()


def _without_spread(pixels: Image, spread: float) -> Image:
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
