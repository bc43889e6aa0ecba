"""What a manifest's `view` column says of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest


def lateral_rows(manifest: Manifest) -> NDArray[np.bool_]:
    """Which rows (N,) are lateral views; an unknown view counts as frontal."""
    return np.array([_is_lateral(str(view)) for view in manifest.column("view")], dtype=bool)


def _is_lateral(view: str) -> bool:
    view = view.upper()
    return view in ("L", "LL", "RL") or "LAT" in view
