"""Pixels that cannot be read, in a file that a worker process imports quickly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import InputError


class Unreadable:
    """Stand in for the pixels of images of which some rows cannot be read."""

    def __init__(self, *rows: int):
        self.rows = rows

    def read(self, row: int) -> NDArray[np.uint8]:
        """Return a grey image, or fail as a missing file does."""
        if row in self.rows:
            raise InputError("no such file", where=f"{row}.png")
        return np.full((36, 36), row, np.uint8)
