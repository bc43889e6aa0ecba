"""Read single images as a radiologist sees them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tier_cli.api.python_terms import python_terms
from tier_cli.arguments import check_choice, check_flags, path_text, whole_number

if TYPE_CHECKING:
    from tier_cli.imaging.radiograph import Radiograph, Rendering, Views


@python_terms()
def read_image(
    path: str | os.PathLike[str],
    *,
    rendering: Rendering = "voi",
    window: int = 1,
    views: Views = "all",
    accept_any: bool = False,
) -> Radiograph:
    """Read a DICOM, PNG, JPEG or TIFF file as it is displayed: air dark, bone bright, head up.

    Parameters
    ----------
    path
        The file.
    rendering
        ``voi`` applies the DICOM window or VOI LUT, ``minmax`` scales from the lowest to the highest value,
        ``minmax-equalized`` also equalises the histogram.
    window
        Which of several DICOM windows to apply, counted from 1.
    views
        ``frontal`` refuses lateral and oblique views, ``strict`` also uncertain ones, ``all`` refuses none.
    accept_any
        Also read other modalities, other body parts and images FOR PROCESSING.

    Returns
    -------
    The radiograph; `pixels` are float32 (H, W) in [0, 1].

    Raises
    ------
    InputError
        If the file cannot be read or is not a chest radiograph.
    UsageError
        If an argument has a wrong value.

    Examples
    --------
    >>> import tier_cli as tier
    >>> tier.read_image("examples/02-effusion-pa.dcm").view
    'PA'
    """
    from tier_cli.imaging.radiograph import ReadOptions
    from tier_cli.imaging.radiograph import Rendering as RenderingNames
    from tier_cli.imaging.radiograph import Views as ViewNames
    from tier_cli.imaging.read import read_radiograph

    check_choice("rendering", rendering, RenderingNames)
    check_choice("views", views, ViewNames)
    check_flags(accept_any=accept_any)
    window = whole_number("window", window, 1)
    return read_radiograph(path_text("path", path), ReadOptions(rendering, window - 1, views, accept_any))
