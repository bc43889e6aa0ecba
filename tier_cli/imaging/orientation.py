"""Turn an image by its PatientOrientation so that it hangs as a radiologist expects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_ALONG, _ACROSS = frozenset("HF"), frozenset("LRAP")


def hang(pixels: NDArray[np.float32], orientation: Sequence[str], notes: list[str]) -> NDArray[np.float32]:
    """Turn and flip an image (H, W) so that the head is up and the patient's left is on the right.

    Parameters
    ----------
    pixels
        The image.
    orientation
        The two values of PatientOrientation (PS3.3 C.7.6.1.1.1): the directions of rows and columns.
    notes
        Receives a note if the image is turned or the values are invalid.
    """
    directions = _directions(orientation)
    if not any(directions):
        return pixels
    if not _is_valid(directions):
        notes.append("PatientOrientation ignored: not valid for a chest radiograph")
        return pixels
    sideways = is_sideways(orientation)
    across, down = reversed(directions) if sideways else directions
    # In a lateral view, rows point to the front or the back; both ways of hanging it are common.
    mirrored, upside_down = across == "R", down == "H"
    if not (sideways or mirrored or upside_down):
        return pixels
    upright = pixels.T if sideways else pixels
    upright = upright[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
    notes.append(
        f"{_named(sideways, mirrored, upside_down)} according to PatientOrientation {'/'.join(directions)}"
    )
    return np.ascontiguousarray(upright)


def is_sideways(orientation: Sequence[str]) -> bool:
    """Return whether rows run along the body, so that `hang` swaps height and width."""
    directions = _directions(orientation)
    return _is_valid(directions) and directions[0] in _ALONG


def _directions(orientation: Sequence[str]) -> list[str]:
    return [value.strip().upper()[:1] for value in orientation]


def _is_valid(directions: list[str]) -> bool:
    """Return whether exactly one of two directions runs along the body."""
    along = [direction in _ALONG for direction in directions]
    return sorted(along) == [False, True] and set(directions) <= _ALONG | _ACROSS


def _named(sideways: bool, mirrored: bool, upside_down: bool) -> str:
    if sideways:
        # A quarter turn swaps the axes and reverses one of them; swapping alone mirrors the image.
        return "rotated by 90 degrees" if mirrored != upside_down else "rotated by 90 degrees and mirrored"
    if mirrored and upside_down:
        return "rotated by 180 degrees"
    return "mirrored left to right" if mirrored else "flipped top to bottom"
