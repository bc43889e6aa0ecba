"""Write the patches that stand out in an image as a binary segmentation (PS3.3 A.51)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli import __version__
from tier_cli.dicom_out.concepts import ARTIFICIAL_INTELLIGENCE, SPATIAL, code_of, concept
from tier_cli.dicom_out.objects import LONGEST_TEXT, MANUFACTURER, import_highdicom, name_of
from tier_cli.dicom_out.sources import read_displayed
from tier_cli.dicom_out.uids import derived_uid, identity_of
from tier_cli.imaging.guard import guarded

if TYPE_CHECKING:
    from highdicom.seg import Segmentation

    from tier_cli.findings.schema import FindingSet
    from tier_cli.maps.explanation import Explanation, TextMap
    from tier_cli.maps.patch_grid import PatchGrid
    from tier_cli.results.record import Result

_SERIES = "TIER patches: for research use, not for clinical diagnosis"
_SERIES_NUMBER = 9904


def segmentation(result: Result, explanation: Explanation, findings: FindingSet) -> Segmentation | None:
    """Build the segmentation of one image; None if nothing stands out.

    Parameters
    ----------
    result, explanation
        The result of the image, and its maps: one segment for each with patches from its threshold on.
    findings
        The finding set of the maps.

    Raises
    ------
    InputError
        The image cannot have one: see `tier_cli.dicom_out.sources.read_displayed`.
    """
    import_highdicom()
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import Segmentation, SegmentDescription

    masks = [(one, mask) for one in explanation.maps if (mask := mask_of(one, explanation.grid)).any()]
    if not masks:
        return None
    source = read_displayed(result)
    named = {finding.id: code_of(finding) for finding in findings.findings}
    with guarded(result.paths[0], "the DICOM header"):
        identity = identity_of(result.model)
        algorithm = AlgorithmIdentificationSequence(
            name_of(result.model), concept(ARTIFICIAL_INTELLIGENCE), f"tier {__version__}"
        )
        made = Segmentation(
            source_images=[source],
            pixel_array=np.stack([mask for _, mask in masks], axis=-1)[np.newaxis].astype(np.uint8),
            segmentation_type="BINARY",
            segment_descriptions=[
                SegmentDescription(
                    number,
                    one.label[:LONGEST_TEXT],
                    # A place that resembles a text; nothing there need be abnormal.
                    concept(SPATIAL),
                    concept(named[one.name]),
                    "AUTOMATIC",
                    algorithm,
                    tracking_uid=derived_uid("segment", one.name, source.SOPInstanceUID, *identity),
                    tracking_id=one.name[:LONGEST_TEXT],
                )
                for number, (one, _) in enumerate(masks, start=1)
            ],
            series_instance_uid=derived_uid("SEG series", result.study, *identity),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=derived_uid("SEG", source.SOPInstanceUID, *identity),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=name_of(result.model),
            software_versions=__version__,
            device_serial_number=result.model.weights,
            content_label="TIER",
            content_description="Patches that resemble a finding's prompts; for research use",
            series_description=_SERIES,
            specific_character_set="ISO_IR 192",
        )
        # Of type 2C, as the segmentation has no position in space; its pixels are those of the image.
        made.PatientOrientation = []
    return made


def mask_of(one: TextMap, grid: PatchGrid) -> NDArray[np.bool_]:
    """Return which pixels (H, W) of the image as its file stores it lie in patches that stand out.

    A pixel lies in the patch that covers its centre.
    """
    height, width = grid.stored_size
    mask = np.zeros((height, width), np.bool_)
    if one.threshold is None:
        return mask
    with np.errstate(invalid="ignore"):
        found = np.argwhere(one.values >= one.threshold)
    for row, column in found.tolist():
        x0, y0, x1, y1 = (max(0, math.ceil(edge - 0.5)) for edge in grid.stored_box(grid.box(row, column)))
        mask[y0:y1, x0:x1] = True
    return mask
