"""Hold the similarities of image patches to texts, with the way back to source pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class SimilarityMaps:
    """The similarity of each patch of an image to each of T texts.

    Source pixels are those of the radiograph as `tier.read_image` returns it. In `box`, pixel k covers the
    range from k to k + 1; in `affine`, whole numbers are pixel centres.

    Parameters
    ----------
    texts
        The T texts.
    values
        Cosine similarities in [-1, 1], float32 (T, h, w): one per patch.
    affine
        float64 (2, 3): ``affine @ (x, y, 1)`` carries a pixel of the model's input to source pixels (x, y).
    side
        Side of the model's square input in pixels.
    size
        Height and width of the source image in pixels.
    turned
        Whether the radiograph was turned or mirrored relative to the file, whose pixels then lie elsewhere.
    """

    texts: tuple[str, ...]
    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    side: int
    size: tuple[int, int]
    turned: bool = False

    @property
    def grid(self) -> tuple[int, int]:
        """Grid of patches: rows and columns (h, w)."""
        return self.values.shape[1], self.values.shape[2]

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The area of the map as matplotlib's ``imshow(extent=...)`` takes it over the source image."""
        (x0, y0, _, _), (_, _, x1, y1) = self.box(0, 0), self.box(self.grid[0] - 1, self.grid[1] - 1)
        return x0 - 0.5, x1 - 0.5, y1 - 0.5, y0 - 0.5

    def box(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Return the box (x0, y0, x1, y1) that a patch covers in source pixels.

        The box can reach beyond the image if the preprocessing pads it.
        """
        height, width = self.grid
        if not (0 <= row < height and 0 <= column < width):
            raise IndexError(f"patch ({row}, {column}) is outside the {height} x {width} grid")
        corners = [
            [column * self.side / width, row * self.side / height],
            [(column + 1) * self.side / width, (row + 1) * self.side / height],
        ]
        (x0, y0), (x1, y1) = (np.asarray(corners) - 0.5) @ self.affine[:, :2].T + self.affine[:, 2] + 0.5
        return float(x0), float(y0), float(x1), float(y1)

    def to_source(self, text: int = 0) -> NDArray[np.float32]:
        """Return one map at the size of the source image.

        Parameters
        ----------
        text
            Index of the text.

        Returns
        -------
        float32 (H, W): each pixel has the similarity of the patch that covers its centre, NaN where the model
        does not see the image.
        """
        (step_x, _, first_x), (_, step_y, first_y) = self.affine
        rows, seen_rows = self._patches_of(self.size[0], step_y, first_y, self.grid[0])
        columns, seen_columns = self._patches_of(self.size[1], step_x, first_x, self.grid[1])
        full = np.full(self.size, np.nan, np.float32)
        full[np.ix_(seen_rows, seen_columns)] = self.values[text][np.ix_(rows, columns)]
        return full

    def _patches_of(
        self, length: int, step: float, first: float, count: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return along one axis the patch of each source pixel that the model sees, and those pixels."""
        centres = (np.arange(length) - first) / step
        patches = np.floor((centres + 0.5) * count / self.side).astype(np.intp)
        seen = np.flatnonzero((patches >= 0) & (patches < count))
        return patches[seen], seen
