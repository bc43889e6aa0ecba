"""Turn an image upright, as its PatientOrientation or EXIF orientation says, and lead positions back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

_T = TypeVar("_T", bound=np.generic)

_ALONG, _ACROSS = frozenset("HF"), frozenset("LRAP")


class Orientation(NamedTuple):
    """How an image that hangs as a radiologist expects follows from the image in its file.

    Rows and columns are swapped first, then reversed. These are all eight ways to turn and mirror an image.

    Parameters
    ----------
    transposed
        Rows and columns are swapped.
    mirrored, upside_down
        Left and right, or top and bottom, are reversed.
    """

    transposed: bool = False
    mirrored: bool = False
    upside_down: bool = False

    @property
    def turned(self) -> bool:
        """Whether positions in the upright image and in the file differ."""
        return any(self)

    def upright(self, stored: NDArray[_T]) -> NDArray[_T]:
        """Turn an image (h, w) as its file stores it upright (H, W)."""
        if not self.turned:
            return stored
        swapped = stored.T if self.transposed else stored
        return np.ascontiguousarray(swapped[:: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1])

    def swapped(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) in the file of an upright size, or the reverse."""
        return (size[1], size[0]) if self.transposed else size

    def to_stored(self, size: tuple[int, int]) -> NDArray[np.float64]:
        """Return the affine (2, 3) from a pixel (x, y, 1) of the upright image to one in the file.

        Parameters
        ----------
        size
            Height and width of the upright image.

        Examples
        --------
        The top left pixel of an image of 3 x 2 pixels that was mirrored was the last of its row:

        >>> (Orientation(mirrored=True).to_stored((2, 3)) @ (0, 0, 1)).tolist()
        [2.0, 0.0]
        """
        height, width = size
        x = (-1, 0, width - 1) if self.mirrored else (1, 0, 0)
        y = (0, -1, height - 1) if self.upside_down else (0, 1, 0)
        return np.array((y, x) if self.transposed else (x, y), np.float64)


UPRIGHT = Orientation()
# Values of the EXIF tag Orientation (Exif 3.0, 4.6.5.1): where row 0 and column 0 are shown.
_EXIF = {
    2: Orientation(mirrored=True),
    3: Orientation(mirrored=True, upside_down=True),
    4: Orientation(upside_down=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, mirrored=True),
    7: Orientation(transposed=True, mirrored=True, upside_down=True),
    8: Orientation(transposed=True, upside_down=True),
}


def orientation_of_exif(value: object) -> Orientation:
    """Return the orientation that an EXIF tag states; upright for values that the standard does not know."""
    return _EXIF.get(value, UPRIGHT) if isinstance(value, int) else UPRIGHT


def orientation_of_patient(values: Sequence[str], notes: list[str]) -> Orientation:
    """Return how to turn an image so that the head is up and the patient's left is on the right.

    Parameters
    ----------
    values
        The two values of PatientOrientation (PS3.3 C.7.6.1.1.1): the directions of rows and columns.
    notes
        Receives a note if the image must be turned or the values are invalid.
    """
    directions = [value.strip().upper()[:1] for value in values]
    if not any(directions):
        return UPRIGHT
    if not _is_valid(directions):
        notes.append("PatientOrientation ignored: not valid for a chest radiograph")
        return UPRIGHT
    sideways = directions[0] in _ALONG
    across, down = reversed(directions) if sideways else directions
    # In a lateral view, rows point to the front or the back; both ways of hanging it are common.
    orientation = Orientation(sideways, mirrored=across == "R", upside_down=down == "H")
    if orientation.turned:
        notes.append(f"{_named(orientation)} according to PatientOrientation {'/'.join(directions)}")
    return orientation


def _is_valid(directions: list[str]) -> bool:
    """Return whether exactly one of two directions runs along the body."""
    along = [direction in _ALONG for direction in directions]
    return sorted(along) == [False, True] and set(directions) <= _ALONG | _ACROSS


def _named(orientation: Orientation) -> str:
    sideways, mirrored, upside_down = orientation
    if sideways:
        # A quarter turn swaps the axes and reverses one of them; swapping alone mirrors the image.
        return "rotated by 90 degrees" if mirrored != upside_down else "rotated by 90 degrees and mirrored"
    if mirrored and upside_down:
        return "rotated by 180 degrees"
    return "mirrored left to right" if mirrored else "flipped top to bottom"
