"""Average the maps of several crops that are shifted by parts of a patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tier_cli.maps.patch_grid import PatchGrid
    from tier_cli.maps.similarity import PatchMap

Floats = NDArray[np.float64]
Shift = tuple[int, int]


class Patches(Protocol):
    """What can be compared with texts: the patches of one crop, or of several."""

    @property
    def grid(self) -> PatchGrid:
        """Where the values of a map lie."""
        ...

    def similarities(self, directions: NDArray[np.floating]) -> Floats:
        """Compare with directions (T, D); return (T, h, w)."""
        ...


@dataclass(frozen=True, eq=False)
class OverlappingPatches:
    """The patches of one image in several crops.

    Parameters
    ----------
    first
        The patches of the crop that is not shifted.
    others
        (S, P, D) the patches of the shifted crops.
    shifts
        How far each of them lies below and to the right of the first, in pixels of the model's input.
    finer
        Into how many cells each side of a patch is divided.
    """

    first: PatchMap
    others: NDArray[np.float32]
    shifts: Sequence[Shift]
    finer: int

    @property
    def grid(self) -> PatchGrid:
        """The grid of the cells, which covers what the first crop covers."""
        own = self.first.grid
        return replace(own, rows=own.rows * self.finer, columns=own.columns * self.finer)

    def similarities(self, directions: NDArray[np.floating]) -> Floats:
        """Return (T, h, w): for each cell the mean over the crops of the patch that covers its centre."""
        maps = [self.first.similarities(directions)]
        maps += [replace(self.first, patches=patches).similarities(directions) for patches in self.others]
        count = np.zeros((self.grid.rows, self.grid.columns))
        total = np.zeros((len(directions), *count.shape))
        for one, shift in zip(maps, [(0, 0), *self.shifts], strict=True):
            rows, columns = (
                _covering(self.grid.side, length, self.finer, by)
                for length, by in zip(one.shape[1:], shift, strict=True)
            )
            seen = np.ix_(np.arange(len(directions)), rows >= 0, columns >= 0)
            total[seen] += one[np.ix_(np.arange(len(directions)), rows[rows >= 0], columns[columns >= 0])]
            count += np.outer(rows >= 0, columns >= 0)
        mean: Floats = total / count
        return mean


def overlap_shifts(side: int, patches: int, count: int) -> list[int]:
    """Return `count` shifts along one axis that divide a patch evenly, in whole pixels; the first is 0.

    Parameters
    ----------
    side, patches
        Side of the model's input, and how many patches divide it.
    count
        The number of shifts.

    Examples
    --------
    >>> overlap_shifts(224, 7, 4)
    [0, 8, 16, -8]
    """
    patch = side / patches
    steps = [number * patch / count for number in range(count)]
    # A shift by more than half a patch is one to the other side.
    return [round(step if step <= patch / 2 else step - patch) for step in steps]


def _covering(side: int, patches: int, finer: int, shift: int) -> NDArray[np.intp]:
    """Return along one axis the patch of a shifted crop that covers each cell's centre; -1 outside of it."""
    centres = (np.arange(patches * finer) + 0.5) * side / (patches * finer)
    found = np.floor((centres - shift) * patches / side).astype(np.intp)
    return np.where((found >= 0) & (found < patches), found, -1)
