"""Define the radiograph, one image as a radiologist would see it, and the options for reading it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tier_cli.imaging.budget import DEFAULT_MEMORY, DEFAULT_TIMEOUT, Decode
from tier_cli.imaging.orientation import UPRIGHT, Orientation
from tier_cli.imaging.reduction import Extent, Grid

Rendering = Literal["voi", "minmax", "minmax-equalized"]
Views = Literal["frontal", "strict", "all"]

FRONTAL_VIEWS = frozenset({"PA", "AP", "FRONTAL"})
UNKNOWN_VIEW = "view unknown, assumed frontal"


@dataclass(frozen=True)
class ReadOptions:
    """How files become radiographs; passed unchanged to the worker processes.

    Parameters
    ----------
    rendering
        The rendering that the checkpoint was trained on: ``voi``, ``minmax`` or ``minmax-equalized``.
    window
        Which of several windows (VOI LUT module, PS3.3 C.11.2) to apply, counted from 0.
    views
        ``frontal`` refuses views that are not frontal and accepts an unstated one, with a note; ``strict``
        also refuses a view that is not stated, not understood or contradictory; ``all`` refuses none.
    accept_any
        Also accept other modalities, body parts, images for processing and the first of several frames.
    include_phi
        Fill `Radiograph.phi` with the patient's name, id, dates and accession number.
    timeout, memory
        Seconds and bytes that one file may take in a decoding process.
    decode
        ``fast`` reads an image no larger than its preparation needs, ``full`` reads every pixel.
    """

    rendering: Rendering = "voi"
    window: int = 0
    views: Views = "frontal"
    accept_any: bool = False
    include_phi: bool = False
    timeout: float = DEFAULT_TIMEOUT
    memory: int = DEFAULT_MEMORY
    decode: Decode = "fast"


@dataclass(frozen=True)
class Radiograph:
    """One radiograph in display space.

    Parameters
    ----------
    levels
        The grey levels (H, W), of which a `Grid` looks up those that are needed.
    path
        The path as given or discovered.
    view
        ``PA``, ``AP``, ``FRONTAL`` (one of the two), ``LATERAL``, another view code; empty if unknown.
    modality
        DICOM modality; empty for a raster file.
    study, series, instance
        DICOM instance UIDs; empty if there are none.
    notes
        Remarks on how the pixels were obtained. Never patient data.
    phi
        Patient data, only if requested (`ReadOptions.include_phi`).
    orientation
        How the image was turned or mirrored relative to the file.
    stretched_from
        Height and width before the image was resampled to square pixels; None if it was not.
    extent
        Where the image lies in `levels` if they show it smaller; None if they do not.
    """

    levels: NDArray[np.float32] | Grid
    path: str
    view: str = ""
    modality: str = ""
    study: str = ""
    series: str = ""
    instance: str = ""
    notes: tuple[str, ...] = ()
    phi: dict[str, str] = field(default_factory=dict)
    orientation: Orientation = UPRIGHT
    stretched_from: tuple[int, int] | None = None
    extent: Extent | None = None

    @property
    def turned(self) -> bool:
        """Whether the image was turned or mirrored, so that positions in the file differ."""
        return self.orientation.turned

    @cached_property
    def pixels(self) -> NDArray[np.float32]:
        """Float32 (H, W) in [0, 1]; 0 = black, 1 = white as displayed: air dark, bone bright."""
        return self.levels.levels() if isinstance(self.levels, Grid) else self.levels

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the whole image, of which `levels` may be fewer."""
        shown = self.extent or Extent.whole(self.levels.shape[0], self.levels.shape[1])
        return shown.height, shown.width

    @property
    def source_size(self) -> tuple[int, int]:
        """Height and width of the image in the file, upright."""
        return self.stretched_from or self.size
