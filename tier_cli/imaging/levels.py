"""Decode a DICOM file's pixels to displayed grey levels, at a lower resolution where that shows the same."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tier_cli.imaging.display import Counts, Display, domain, grey_table, padding_of
from tier_cli.imaging.header import Header
from tier_cli.imaging.limits import BLANK_SHARE, sampled
from tier_cli.imaging.pixels import Stored, decode
from tier_cli.imaging.radiograph import ReadOptions, Rendering
from tier_cli.imaging.reduction import Extent, Grid, Least, bend
from tier_cli.imaging.render import equalised, minmax
from tier_cli.imaging.resample import Image
from tier_cli.imaging.transforms import display_of

_ROWS = 256
# The mean difference of grey levels above which an image is decoded in full: a tenth of one of 255. It is
# estimated from the lower resolution; noise that is gone there makes the true one up to eight times as large.
_MOST_BEND = 0.1 / 255


class Shown(NamedTuple):
    """Displayed grey levels (H, W) in [0, 1].

    Parameters
    ----------
    levels
        The grey levels.
    outside
        Which of those that `sampled` takes are padding; None for none.
    extent
        Where the image lies in them if they show it at a lower resolution; None if they do not.
    """

    levels: Image | Grid
    outside: NDArray[np.bool_] | None = None
    extent: Extent | None = None


def shown_levels(
    header: Header, options: ReadOptions, least: Least | None, path: str, notes: list[str]
) -> Shown:
    """Decode and display the first frame.

    Parameters
    ----------
    header, options
        The attributes, and how to read them.
    least
        The size at which the pixels are enough; None for all of them. Where a lower resolution would not do,
        because the display depends on all pixels or is far from linear, all are returned.
    path
        The file, for messages.
    notes
        Receives remarks on how the pixels were obtained.
    """
    start, before = header.file.tell(), len(notes)
    size = header.whole("Rows", 0), header.whole("Columns", 0)
    # The other renderings depend on the values of all pixels.
    most = least.step(*size) if least and options.rendering == "voi" else 1
    stored = decode(header, path, notes, most)
    if stored.extent is not None:
        if shown := _lower(stored, header, options, notes):
            return shown
        # All pixels are needed.
        del notes[before:]
        header.file.seek(start)
        stored = decode(header, path, notes)
    if stored.codes.ndim == 3:
        return Shown(_luminance(stored, options.rendering, notes))
    display = display_of(header, stored.bits, stored.signed, options, notes)
    return _looked_up(stored, display, options.rendering, notes)


def _lower(stored: Stored, header: Header, options: ReadOptions, notes: list[str]) -> Shown | None:
    """Display pixels of a lower resolution; None if all pixels are needed for that.

    Padding, and values that the display bends, must not be averaged with their neighbours before they are
    looked up.
    """
    if stored.hidden is not None:
        return None
    display = display_of(header, stored.bits, stored.signed, options, notes)
    padding = padding_of(display, stored.bits, stored.signed)
    counted = False

    def counts() -> Counts:
        nonlocal counted
        counted = True
        return _counts(stored)

    table = grey_table(display, stored.bits, stored.signed, options.rendering, counts)
    if counted or padding[stored.codes].any():
        return None
    if bend(stored.codes, domain(stored.bits, stored.signed), table) > _MOST_BEND:
        return None
    return Shown(Grid(stored.codes, table), extent=stored.extent)


def _looked_up(stored: Stored, display: Display, rendering: Rendering, notes: list[str]) -> Shown:
    """Look up the grey level of each stored value."""
    counted: list[Counts] = []

    def counts() -> Counts:
        if not counted:
            counted.append(_counts(stored))
        return counted[0]

    hidden = stored.hidden
    if display.padding is not None or hidden is not None:
        padding = padding_of(display, stored.bits, stored.signed)
        if counts()[~padding].sum() < BLANK_SHARE * stored.codes.size:
            notes.append("padding value ignored: it covers the whole image")
            display, hidden = replace(display, padding=None), None
            counted.clear()
            stored = replace(stored, hidden=None)
    table = grey_table(display, stored.bits, stored.signed, rendering, counts)
    outside = padding_of(display, stored.bits, stored.signed)[sampled(stored.codes)]
    if hidden is not None:
        outside |= sampled(hidden)
    return Shown(Grid(stored.codes, table, hidden), outside)


def _counts(stored: Stored) -> Counts:
    """Count the pixels of each bit pattern (2**bits,), without those that are hidden."""
    counts = np.zeros(2**stored.bits, np.int64)
    for start in range(0, len(stored.codes), _ROWS):
        counts += np.bincount(stored.codes[start : start + _ROWS].ravel(), minlength=len(counts))
    if stored.hidden is not None:
        counts -= np.bincount(stored.codes[stored.hidden], minlength=len(counts))
    return counts


def _luminance(stored: Stored, rendering: Rendering, notes: list[str]) -> NDArray[np.float32]:
    """Convert RGB (H, W, 3) to grey levels by Rec. 601; windows apply to greyscale only."""
    top = np.float32(2**stored.bits - 1)
    grey = stored.codes[..., 0] * (np.float32(0.299) / top)
    grey += stored.codes[..., 1] * (np.float32(0.587) / top)
    grey += stored.codes[..., 2] * (np.float32(0.114) / top)
    notes.append("colour converted to luminance")
    if rendering != "voi":
        grey = minmax(grey)
    if rendering == "minmax-equalized":
        grey = equalised(grey)
    return np.clip(grey, 0.0, 1.0, out=grey)
