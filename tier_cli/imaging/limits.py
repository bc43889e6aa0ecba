"""Refuse images that are far too large, too small, blank, nearly black or white, or no radiograph."""

from __future__ import annotations

from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import InputError
from tier_cli.imaging.reduction import Grid

_Value = TypeVar("_Value", bound=np.generic)

MAX_PIXELS = 100_000_000
MIN_SIDE = 64
# Encoders write about ten scans per progressive JPEG. In each, a decoder goes over the whole image, at 1 to
# 2 ns per pixel.
_MOST_SCANS, _MOST_SCANNED = 100, 2_000_000_000
# An image is blank if less than this share of its pixels differs from the rest: a caption on black.
BLANK_SHARE = 0.01
# Of 11,600 public chest X-rays and lungs cut out of them, none spans less than 0.2 of the grey range between
# the 1st and 99th percentile, and none needs fewer than 39 of 256 grey levels for 98 % of its pixels.
_LEAST_SPAN = 0.1
_FEW_LEVELS, _SHARE_OF_LEVELS = 16, 0.98


def check_size(height: int, width: int, path: str) -> None:
    """Refuse dimensions before anything is decoded, so that a small file cannot claim all memory."""
    if height * width > MAX_PIXELS:
        raise InputError(
            f"the image would have {width} x {height} pixels",
            where=path,
            remedy=f"give an image of at most {MAX_PIXELS // 1_000_000} megapixels",
            kind="too_large",
        )
    if min(height, width) < MIN_SIDE:
        raise InputError(
            f"the image has only {width} x {height} pixels",
            where=path,
            remedy=f"give an image of at least {MIN_SIDE} pixels on each side",
            kind="too_small",
        )


def check_scans(scans: int, height: int, width: int) -> None:
    """Refuse a JPEG image with so many scans that decoding it would take minutes."""
    if scans > _MOST_SCANS or scans * height * width > _MOST_SCANNED:
        raise costly(f"the JPEG image has {scans} scans of {width} x {height} pixels")


def costly(what: str) -> InputError:
    """Return the error of a file that would cost far more time or memory than any image needs."""
    return InputError(what, remedy="save the image again with common software", kind="costly")


def check_shown(
    pixels: NDArray[np.float32] | Grid,
    path: str,
    notes: list[str],
    *,
    remedy: str,
    accept_any: bool = False,
    hidden: NDArray[np.bool_] | None = None,
) -> None:
    """Refuse displayed pixels that cannot be a radiograph shown in full.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].
    path
        The file, for the message.
    notes
        Receives the reason if `accept_any` overrules it.
    remedy
        What to do about an image that is nearly black or white.
    accept_any
        Accept anything but a blank image.
    hidden
        Which pixels of `sampled` lie outside the image, such as padding.

    Raises
    ------
    InputError
        Of kind ``blank``, if the grey levels are nearly constant, or ``mask``, if they are very few.
    """
    sample = sampled(pixels)
    # np.median and np.percentile import numpy.ma, which takes longer than reading a small image.
    median = np.partition(sample, sample.size // 2, axis=None)[sample.size // 2]
    if np.count_nonzero(sample != median) < BLANK_SHARE * sample.size:
        raise InputError(
            "the image is blank: nearly all pixels have the same grey level",
            where=path,
            remedy="check the export or the window of this image",
            kind="blank",
        )
    shown = sample.ravel() if hidden is None or hidden.all() else sample[~hidden]
    for kind, what, how in _doubts(shown, remedy):
        if not accept_any:
            raise InputError(what, where=path, remedy=how, kind=kind)
        notes.append(f"accepted although {what}")


@overload
def sampled(values: NDArray[_Value]) -> NDArray[_Value]: ...
@overload
def sampled(values: Grid) -> NDArray[np.float32]: ...
def sampled(values: NDArray[Any] | Grid) -> NDArray[Any]:
    """Return a grid of about 256 x 256 values, which decides as well as all of them, at no cost."""
    return values[:: max(1, values.shape[0] // 256), :: max(1, values.shape[1] // 256)]


def _doubts(shown: NDArray[np.float32], remedy: str) -> list[tuple[str, str, str]]:
    """Return the kind, reason and remedy of what speaks against the grey levels (N,)."""
    ordered = np.sort(shown)
    last = len(ordered) - 1
    low, high = np.interp((0.01 * last, 0.99 * last), np.arange(last + 1), ordered)
    if high - low < _LEAST_SPAN:
        level = "black" if high < 0.5 else "white" if low > 0.5 else "uniform"
        return [
            (
                "blank",
                f"the image is nearly {level}: it spans only {high - low:.1%} of the grey range",
                remedy,
            )
        ]
    counts = np.bincount(np.rint(shown.clip(0, 1) * 255).astype(np.intp), minlength=256)
    most = np.sort(counts)[::-1].cumsum()
    levels = 1 + int(np.count_nonzero(most < _SHARE_OF_LEVELS * shown.size))
    if levels <= _FEW_LEVELS:
        remedy = "give the radiograph itself, or pass --accept-any to score it anyway"
        return [("mask", f"the image has only {levels} grey levels, like a mask or a drawing", remedy)]
    return []
