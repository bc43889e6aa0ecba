"""Hold the similarities of image patches to texts, with the way back to source pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tier_cli.imaging.orientation import UPRIGHT, Orientation
from tier_cli.maps.patch_grid import PatchGrid, as_affine


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
    orientation
        How the radiograph was turned or mirrored relative to the file.
    """

    texts: tuple[str, ...]
    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    side: int
    size: tuple[int, int]
    orientation: Orientation = UPRIGHT

    @property
    def turned(self) -> bool:
        """Whether the radiograph was turned or mirrored relative to the file, see `stored_box`."""
        return self.orientation.turned

    @property
    def grid(self) -> tuple[int, int]:
        """Grid of patches: rows and columns (h, w)."""
        return self.values.shape[1], self.values.shape[2]

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The area of the map as matplotlib's ``imshow(extent=...)`` takes it over the source image."""
        x0, y0, x1, y1 = self._patches.view
        return x0 - 0.5, x1 - 0.5, y1 - 0.5, y0 - 0.5

    def box(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Return the box (x0, y0, x1, y1) that a patch covers in source pixels.

        The box can reach beyond the image if the preprocessing pads it.
        """
        return self._patches.box(row, column)

    def stored_box(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Return the box (x0, y0, x1, y1) that a patch covers in the pixels of the file as it is stored."""
        return self._patches.stored_box(self.box(row, column))

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
        return self._patches.to_source(self.values[text])

    @property
    def _patches(self) -> PatchGrid:
        return PatchGrid(*self.grid, self.side, as_affine(self.affine), self.size, self.orientation)
