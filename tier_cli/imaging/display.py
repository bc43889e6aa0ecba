"""Apply DICOM's greyscale pipeline to stored values: modality, VOI, polarity, rendering. Pure numpy.

An image of at most 16 bits has few distinct values, so each step works on a table of all of them, and the
image is looked up once at the end: the same numbers in a fraction of the time and memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tier_cli.imaging.radiograph import Rendering
from tier_cli.imaging.render import equalisation

Values = NDArray[np.float64]
Counts = NDArray[np.int64]
Function = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True, eq=False)
class Lut:
    """A look-up table (PS3.3 C.11.1, C.11.2).

    Parameters
    ----------
    first
        The input value of the first entry.
    entries
        float64 (n,), the outputs for inputs from `first` on.
    bits
        Bits per entry.
    highest
        The entry that is white; None for the highest value that `bits` can hold.

    Examples
    --------
    Inputs before the first or after the last entry get the entry at that end:

    >>> lut = Lut(first=10, entries=np.array([0.0, 100.0, 255.0]), bits=8)
    >>> lut(np.array([9.0, 10.0, 11.0, 12.0, 13.0])).tolist()
    [0.0, 0.0, 100.0, 255.0, 255.0]
    """

    first: int
    entries: Values
    bits: int
    highest: float | None = None

    def __call__(self, values: Values) -> Values:
        """Look up values; those beyond an end get the entry at that end."""
        index = np.floor(values + 0.5) - self.first
        return self.entries[index.clip(0, len(self.entries) - 1).astype(np.intp)]

    @property
    def top(self) -> float:
        """The entry that is white."""
        return float(2**self.bits - 1) if self.highest is None else self.highest


@dataclass(frozen=True)
class Rescale:
    """The linear modality transformation (PS3.3 C.11.1).

    Parameters
    ----------
    slope, intercept
        RescaleSlope (0028,1053) and RescaleIntercept (0028,1052).

    Examples
    --------
    >>> Rescale(slope=2.0, intercept=-1024.0)(np.array([0.0, 512.0])).tolist()
    [-1024.0, 0.0]
    """

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, values: Values) -> Values:
        """Return ``slope * values + intercept``."""
        return values * self.slope + self.intercept


@dataclass(frozen=True)
class Window:
    """A window (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Parameters
    ----------
    center, width
        In modality values; the width is positive.
    function
        VOILUTFunction (0028,1056).

    Examples
    --------
    A LINEAR window of 256 values at 128 shows 0 as black and 255 as white:

    >>> Window(center=128, width=256)(np.array([-5.0, 0.0, 127.5, 255.0, 300.0])).tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    >>> Window(center=128, width=256, function="LINEAR_EXACT")(np.array([0.0, 128.0, 256.0])).tolist()
    [0.0, 0.5, 1.0]
    >>> Window(center=128, width=256, function="SIGMOID")(np.array([0.0, 128.0, 256.0])).round(3).tolist()
    [0.119, 0.5, 0.881]
    """

    center: float
    width: float
    function: Function = "LINEAR"

    def __call__(self, values: Values) -> Values:
        """Return grey levels in [0, 1]."""
        if self.function == "SIGMOID":
            # Beyond 700 the exponential overflows, and the level is 0 or 1 anyway.
            exponent: Values = (-4.0 * (values - self.center) / self.width).clip(-700, 700)
            return np.reciprocal(1.0 + np.exp(exponent))
        if self.function == "LINEAR_EXACT":
            return ((values - self.center) / self.width + 0.5).clip(0, 1)
        if self.width <= 1.0:
            return (values > self.center - 0.5).astype(np.float64)
        return ((values - (self.center - 0.5)) / (self.width - 1.0) + 0.5).clip(0, 1)


@dataclass(frozen=True)
class Display:
    """How a file says its stored values are to be displayed.

    Parameters
    ----------
    modality
        From stored to modality values.
    voi
        From modality values to grey levels: a table, a window or None.
    inverted
        Whether the lowest values are white, as with MONOCHROME1.
    padding
        The lowest and highest stored value that mark pixels outside the image.
    """

    modality: Lut | Rescale = Rescale()
    voi: Lut | Window | None = None
    inverted: bool = False
    padding: tuple[int, int] | None = None


def domain(bits: int, signed: bool) -> Values:
    """Return the value that each bit pattern of `bits` bits stands for (2**bits,).

    Examples
    --------
    >>> domain(2, signed=False).tolist()
    [0.0, 1.0, 2.0, 3.0]
    >>> domain(2, signed=True).tolist()
    [0.0, 1.0, -2.0, -1.0]
    """
    values = np.arange(2**bits, dtype=np.float64)
    if signed:
        values[2 ** (bits - 1) :] -= 2**bits
    return values


def padding_of(display: Display, bits: int, signed: bool) -> NDArray[np.bool_]:
    """Return for each bit pattern whether it marks padding (2**bits,)."""
    if display.padding is None:
        return np.zeros(2**bits, np.bool_)
    stored = domain(bits, signed)
    return (display.padding[0] <= stored) & (stored <= display.padding[1])


def grey_table(
    display: Display, bits: int, signed: bool, rendering: Rendering, counts: Callable[[], Counts]
) -> NDArray[np.float32]:
    """Return the displayed grey level in [0, 1] of each bit pattern (2**bits,).

    Parameters
    ----------
    display, bits, signed
        How the values are stored and displayed.
    rendering
        ``voi`` applies the table or window; the others use the full range of the values that occur.
    counts
        Counts the pixels of each bit pattern (2**bits,); called only if needed.

    Examples
    --------
    Two bits through a LINEAR window; MONOCHROME1 inverts the result:

    >>> window = Window(center=2.0, width=5.0)
    >>> def counts():
    ...     return np.array([5, 0, 3, 1])
    >>> grey_table(Display(voi=window), 2, False, "voi", counts).tolist()
    [0.125, 0.375, 0.625, 0.875]
    >>> grey_table(Display(voi=window, inverted=True), 2, False, "voi", counts).tolist()
    [0.875, 0.625, 0.375, 0.125]

    Padding is black whatever its value:

    >>> grey_table(Display(inverted=True, padding=(0, 0)), 2, False, "minmax", counts).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    padding = padding_of(display, bits, signed)
    values = display.modality(domain(bits, signed))
    if rendering != "voi":
        grey = _stretched(values, padding, counts())
    elif isinstance(display.voi, Lut):
        grey = display.voi(values) / display.voi.top
    elif display.voi is not None:
        grey = display.voi(values)
    else:
        grey = _whole_range(display, bits, values, padding, counts)
    if display.inverted:
        grey = 1.0 - grey
    # Padding is background: black, regardless of polarity.
    grey[padding] = 0.0
    if rendering == "minmax-equalized":
        grey = _equalised(grey, counts())
    return grey.astype(np.float32)


def _whole_range(
    display: Display, bits: int, values: Values, padding: NDArray[np.bool_], counts: Callable[[], Counts]
) -> Values:
    """Display values without table or window: 8 bits unchanged, more from the lowest to the highest."""
    if isinstance(display.modality, Lut):
        if display.modality.bits <= 8:
            return (values / display.modality.top).clip(0, 1)
    elif bits <= 8:
        return _between(values, float(values.min()), float(values.max()))
    return _stretched(values, padding, counts())


def _stretched(values: Values, padding: NDArray[np.bool_], counts: Counts) -> Values:
    """Scale values so that the extremes of those that occur outside padding become 0 and 1."""
    shown = (counts > 0) & ~padding
    if not shown.any():
        shown = counts > 0
    return _between(values, float(values[shown].min()), float(values[shown].max()))


def _between(values: Values, low: float, high: float) -> Values:
    """Scale values so that `low` becomes 0 and `high` 1."""
    if high == low:
        return np.zeros_like(values)
    return ((values - low) / (high - low)).clip(0, 1)


def _equalised(grey: Values, counts: Counts) -> Values:
    levels = np.floor(grey * 255 + 1e-9).astype(np.intp)
    return equalisation(np.bincount(levels, weights=counts, minlength=256))[levels].astype(np.float64)
