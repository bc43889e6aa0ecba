"""Hold where the patches of a model's input lie in the source image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tier_cli.imaging.orientation import UPRIGHT, Orientation

if TYPE_CHECKING:
    from tier_cli.decoding.decode import Affine

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PatchGrid:
    """Where patches lie in the source image: the image in its file, upright.

    Boxes and edges are in source pixels; pixel k covers the range from k to k + 1.

    Parameters
    ----------
    rows, columns
        Patches in each direction; together they cover the model's input.
    side
        Side of the model's square input in pixels.
    affine
        From a pixel of the input to one of the source image, where whole numbers are pixel centres; see
        `tier_cli.imaging.preprocess.Prepared`.
    size
        Height and width of the source image in pixels.
    orientation
        How the radiograph was turned or mirrored relative to the file.
    """

    rows: int
    columns: int
    side: int
    affine: Affine
    size: tuple[int, int]
    orientation: Orientation = UPRIGHT

    @property
    def edges(self) -> tuple[Floats, Floats]:
        """Horizontal (rows + 1,) and vertical (columns + 1,) edges of the patches, which can lie outside."""
        (step_x, _, first_x), (_, step_y, first_y) = self.affine
        return (
            patch_edges(self.rows, self.side, step_y, first_y),
            patch_edges(self.columns, self.side, step_x, first_x),
        )

    def box(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Return the box (x0, y0, x1, y1) that a patch covers; it can reach beyond the image.

        Raises
        ------
        IndexError
            There is no such patch.
        """
        if not (0 <= row < self.rows and 0 <= column < self.columns):
            raise IndexError(f"patch ({row}, {column}) is outside the {self.rows} x {self.columns} grid")
        down, across = self.edges
        return float(across[column]), float(down[row]), float(across[column + 1]), float(down[row + 1])

    @property
    def view(self) -> tuple[float, float, float, float]:
        """The box (x0, y0, x1, y1) that the model sees; it can reach beyond the image."""
        return (*self.box(0, 0)[:2], *self.box(self.rows - 1, self.columns - 1)[2:])

    @property
    def turned(self) -> bool:
        """Whether pixels of the source image lie elsewhere in the file."""
        return self.orientation.turned

    @property
    def stored_size(self) -> tuple[int, int]:
        """Height and width of the image as the file stores it."""
        return self.orientation.swapped(self.size)

    @property
    def stored_affine(self) -> Affine:
        """From a pixel of the input to one of the image as the file stores it, like `affine`."""
        back = self.orientation.to_stored(self.size)
        affine = back[:, :2] @ np.array(self.affine)
        affine[:, 2] += back[:, 2]
        return as_affine(affine)

    def stored_box(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Return where the file stores a box (x0, y0, x1, y1) of the source image."""
        back = self.orientation.to_stored(self.size)
        # The affine is for centres of pixels, half a pixel from their edges.
        corners = np.array([[box[0], box[2]], [box[1], box[3]]]) - 0.5
        (x0, x1), (y0, y1) = np.sort(back[:, :2] @ corners + back[:, 2:] + 0.5).tolist()
        return x0, y0, x1, y1

    def to_source(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return a map (rows, columns) at the size of the source image.

        Returns
        -------
        float32 (H, W): each pixel has the value of the patch that covers its centre, NaN where the model does
        not see the image.
        """
        (step_x, _, first_x), (_, step_y, first_y) = self.affine
        rows, seen_rows = self._patches_of(self.size[0], step_y, first_y, self.rows)
        columns, seen_columns = self._patches_of(self.size[1], step_x, first_x, self.columns)
        full = np.full(self.size, np.nan, np.float32)
        full[np.ix_(seen_rows, seen_columns)] = values[np.ix_(rows, columns)]
        return full

    def _patches_of(
        self, length: int, step: float, first: float, count: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return along one axis the patch of each source pixel that the model sees, and those pixels."""
        centres = (np.arange(length) - first) / step
        patches = np.floor((centres + 0.5) * count / self.side).astype(np.intp)
        seen = np.flatnonzero((patches >= 0) & (patches < count))
        return patches[seen], seen


def patch_edges(count: int, side: int, step: float, first: float) -> Floats:
    """Return the edges (count + 1,) of patches along one axis of the source; pixel k covers k to k + 1.

    Parameters
    ----------
    count, side
        Number of patches, and the side of the model's input that they divide evenly.
    step, first
        Scale and shift of the affine along this axis.

    Examples
    --------
    Four patches of 8 input pixels each, which are 4 source pixels wide:

    >>> patch_edges(4, 32, 4.0, 81.5).tolist()
    [80.0, 112.0, 144.0, 176.0, 208.0]
    """
    edges: Floats = (np.arange(count + 1) * side / count - 0.5) * step + first + 0.5
    return edges


def as_affine(matrix: ArrayLike) -> Affine:
    """Return a matrix (2, 3) as tuples of numbers."""
    (a, b, c), (d, e, f) = np.asarray(matrix, np.float64).tolist()
    return (a, b, c), (d, e, f)
