"""What a manifest's `view` column says of an image."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest

# As the reader of DICOM has it, and swimmer's views, which MIMIC-CXR has: MIMIC writes "AP LLD".
_BESIDE = frozenset(
    {"L", "LL", "RL", "LLD", "RLD", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "OBL", "OBLIQUE", "DECUBITUS"}
    | {"SWIMMERS"}
)


def lateral_rows(manifest: Manifest) -> NDArray[np.bool_]:
    """Which rows (N,) are lateral, oblique or decubitus views; an unknown view counts as frontal."""
    return np.array([_is_lateral(str(view)) for view in manifest.column("view")], dtype=bool)


def _is_lateral(view: str) -> bool:
    words = set(re.findall("[A-Z]+", view.upper()))
    return bool(words & _BESIDE) or "LAT" in view.upper()
