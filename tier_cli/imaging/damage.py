"""Refuse images whose pixel data are damaged: what decoders say of them, and how the pixels look."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import InputError


def damaged(fault: str, path: str) -> InputError:
    """Return the error of damaged pixel data; `fault` calls them "it"."""
    remedy = "copy or export the file again"
    return InputError(f"the image is damaged: {fault}", where=path, remedy=remedy, kind="damaged")


def check_whole(
    pixels: NDArray[np.float32], path: str, notes: list[str], *, accept_any: bool = False
) -> None:
    """Refuse."""
