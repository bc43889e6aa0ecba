"""Draw what stands out in an image as a greyscale softcopy presentation state (PS3.3 A.33.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tier_cli import __version__
from tier_cli.dicom_out.objects import LONGEST_TEXT, MANUFACTURER, import_highdicom, name_of
from tier_cli.dicom_out.sources import read_displayed
from tier_cli.dicom_out.uids import derived_uid, identity_of
from tier_cli.imaging.guard import guarded
from tier_cli.maps.regions import regions, stored

if TYPE_CHECKING:
    from highdicom.pr import GraphicAnnotation, GraphicLayer, GrayscaleSoftcopyPresentationState
    from pydicom.dataset import Dataset

    from tier_cli.maps.explanation import Explanation, TextMap
    from tier_cli.results.record import Result

LABEL = "TIER"
# 64 characters at most, each.
_SERIES = "TIER regions: for research use, not for clinical diagnosis"
_DESCRIPTION = "Regions that resemble a finding's prompts; for research use"
_SERIES_NUMBER = 9902
# Regions of one finding that are drawn, the highest first.
_MOST = 5
# The height of a line of text, as a share of the image.
_LINE = 0.03


def presentation_state(result: Result, explanation: Explanation) -> GrayscaleSoftcopyPresentationState | None:
    """Build the presentation state of one image; None if nothing stands out.

    Parameters
    ----------
    result
        The result of the image.
    explanation
        Its maps. Patches from a map's threshold on are outlined; a map without one is left out.

    Raises
    ------
    InputError
        The image cannot have one: see `read_displayed`.
    """
    import_highdicom()
    from highdicom import PresentationLUTTransformation
    from highdicom.pr import GrayscaleSoftcopyPresentationState

    source = read_displayed(result)
    with guarded(result.paths[0], "the DICOM header"):
        drawn = [
            (layer, annotation)
            for number, one in enumerate(explanation.maps, start=1)
            for layer, annotation in _annotations(number, one, explanation, source)
        ]
        if not drawn:
            return None
        identity = identity_of(result.model)
        inverse = source.PhotometricInterpretation == "MONOCHROME1"
        state = GrayscaleSoftcopyPresentationState(
            referenced_images=[source],
            series_instance_uid=derived_uid("GSPS series", result.study, *identity),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=derived_uid("GSPS", source.SOPInstanceUID, *identity),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=name_of(result.model),
            software_versions=__version__,
            device_serial_number=result.model.weights,
            content_label=LABEL,
            content_description=_DESCRIPTION,
            series_description=_SERIES,
            specific_character_set="ISO_IR 192",
            graphic_layers=[layer for layer, _ in drawn],
            graphic_annotations=[annotation for _, annotation in drawn],
            # The lowest value of MONOCHROME1 is white, so the presentation LUT has to invert.
            presentation_lut_transformation=PresentationLUTTransformation(
                presentation_lut_shape="INVERSE" if inverse else "IDENTITY"
            ),
        )
        # Of type 2C for a paired body part, and unknown here.
        state.Laterality = ""
        if "PixelAspectRatio" in source:
            (area,) = state.DisplayedAreaSelectionSequence
            area.PresentationPixelAspectRatio = source.PixelAspectRatio
    return state


def _annotations(
    number: int, one: TextMap, explanation: Explanation, source: Dataset
) -> Sequence[tuple[GraphicLayer, GraphicAnnotation]]:
    """Return the layer and the annotation of one map; none if nothing reaches its threshold."""
    from highdicom.pr import GraphicAnnotation, GraphicLayer, GraphicObject, TextObject

    grid = explanation.grid
    found = [] if one.threshold is None else regions(one.values, one.threshold, grid)[:_MOST]
    if not found:
        return []
    layer = GraphicLayer(f"{LABEL}_{number}", number, one.label[:LONGEST_TEXT])
    lines = [
        GraphicObject("POLYLINE", np.array([stored(grid, x, y) for x, y in ring]), "PIXEL")
        for region in found
        for ring in region.rings
    ]
    x0, y0, _, y1 = grid.stored_box(found[0].box)
    # Regions of several findings often begin at one corner: each text has a line of its own.
    y = min(y0 + (number - 1) * _LINE * grid.stored_size[0], y1)
    text = TextObject(
        f"{one.label} (research use)", "PIXEL", anchor_point=(x0, y), anchor_point_visible=False
    )
    return [(layer, GraphicAnnotation([source], layer, graphic_objects=lines, text_objects=[text]))]
