"""Interpret the column `view` of a manifest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest

# The codes of the DICOM reader, and swimmer's views, which MIMIC-CXR contains; MIMIC writes "AP LLD".
_LATERAL = frozenset({"L", "LL", "RL", "SWIMMERS"})
_OBLIQUE = frozenset({"LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "OBL", "OBLIQUE"})
_DECUBITUS = frozenset({"LLD", "RLD", "DECUBITUS"})
_NOT_FRONTAL = _LATERAL | _OBLIQUE | _DECUBITUS


def projection(view: str) -> str:
    """Return how an image was taken: PA, AP, Frontal, Lateral, Oblique or Decubitus; ``""`` where unknown."""
    words = set(re.findall("[A-Z]+", view.upper()))
    # The most specific comes first: "AP LLD" and "lateral decubitus" are decubitus views.
    for name, known in (("Decubitus", _DECUBITUS), ("Oblique", _OBLIQUE), ("Lateral", _LATERAL)):
        if words & known or (known is _LATERAL and "LAT" in view.upper()):
            return name
    frontal = [name for name in ("PA", "AP") if name in words]
    if len(frontal) == 1:
        return frontal[0]
    return "Frontal" if frontal or "FRONTAL" in words else ""


def lateral_rows(manifest: Manifest) -> NDArray[np.bool_]:
    """Return which rows (N,) are lateral, oblique or decubitus views; an unknown view counts as frontal."""
    return np.array([_is_lateral(str(view)) for view in manifest.column("view")], dtype=bool)


def _is_lateral(view: str) -> bool:
    words = set(re.findall("[A-Z]+", view.upper()))
    return bool(words & _NOT_FRONTAL) or "LAT" in view.upper()
