"""Multiply embeddings with directions so that a row's result depends on that row alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def row_products(images: Floats, directions: Floats) -> Floats:
    """Return the products (N, F) of embeddings (N, D) with directions (F, D), each row by itself.

    A matrix product of BLAS adds in an order that depends on the number of rows and of threads, which changes
    the last bits. A score must not depend on the images that happen to be scored with it: an interrupted run
    that is resumed gives the same file.

    Examples
    --------
    >>> row_products(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]))
    array([[11.,  2.]])
    """
    products = np.empty((len(images), len(directions)))
    # NumPy adds along contiguous rows pairwise, in an order that depends on their length only.
    directions = np.ascontiguousarray(directions)
    for row, image in enumerate(images):
        np.add.reduce(directions * image, axis=1, out=products[row])
    return products
