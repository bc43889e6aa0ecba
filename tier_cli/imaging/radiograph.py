"""The radiograph: one image as a radiologist would see it, and how it was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Rendering = Literal["voi", "minmax", "minmax-equalized"]
Views = Literal["frontal", "all"]

FRONTAL_VIEWS = frozenset({"PA", "AP", "FRONTAL"})
UNKNOWN_VIEW = "view unknown, taken as frontal"


@dataclass(frozen=True)
class ReadOptions:
    """How files become radiographs; travels to the worker processes as it is.

    Parameters
    ----------
    rendering
        The pixels the checkpoint learned from: ``voi``, ``minmax`` or ``minmax-equalized``.
    window
        Which of several windows (0018.. VOI LUT module, PS3.3 C.11.2) to apply, counted from 0.
    views
        ``frontal`` refuses laterals, ``all`` takes them; an unknown view is always taken, with a note.
    accept_any
        Take other modalities, body parts, images for processing and the first of several frames too.
    include_phi
        Fill `Radiograph.phi` with the patient's name, id, dates and accession number.
    """

    rendering: Rendering = "voi"
    window: int = 0
    views: Views = "frontal"
    accept_any: bool = False
    include_phi: bool = False


@dataclass(frozen=True)
class Radiograph:
    """One radiograph in display space.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1]; 0 = black, 1 = white as displayed: air dark, bone bright.
    path
        The path as it was given or discovered.
    view
        ``PA``, ``AP``, ``FRONTAL`` (one of the two), ``LATERAL``, another view code, or empty when unknown.
    modality
        DICOM modality, empty for a raster file.
    study, series, instance
        DICOM instance UIDs, empty where there are none.
    notes
        How the pixels were obtained, where that is worth saying. Never holds patient data.
    phi
        Patient data, only where asked for (`ReadOptions.include_phi`).
    turned
        Whether the file holds it turned or mirrored: places in the file's pixels are then others here.
    """

    pixels: NDArray[np.float32]
    path: str
    view: str = ""
    modality: str = ""
    study: str = ""
    series: str = ""
    instance: str = ""
    notes: tuple[str, ...] = ()
    phi: dict[str, str] = field(default_factory=dict)
    turned: bool = False
