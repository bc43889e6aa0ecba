"""Write the maps of one image, with names, scores and a legend burnt in, as a secondary capture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tier_cli import __version__
from tier_cli.dicom_out.concepts import SOURCE_IMAGE, concept
from tier_cli.dicom_out.objects import MANUFACTURER, WARNING, import_highdicom, name_of
from tier_cli.dicom_out.sources import read_sources
from tier_cli.dicom_out.uids import derived_uid, identity_of
from tier_cli.imaging.guard import guarded
from tier_cli.maps.sheet import Drawn, sheet

if TYPE_CHECKING:
    from highdicom.sc import SCImage

    from tier_cli.maps.explanation import Explanation
    from tier_cli.results.record import Result

# The longer side of each picture in pixels; a capture of four pictures has 8 MB.
SIDE = 640
_SERIES = "TIER maps: for research use, not for clinical diagnosis"
_SERIES_NUMBER = 9903
# Maps in a capture, the most prominent findings.
_MOST = 3


def secondary_capture(result: Result, explanation: Explanation) -> SCImage:
    """Build the secondary capture of one image.

    Parameters
    ----------
    result, explanation
        The result of the image, and its maps.

    Raises
    ------
    InputError
        The image cannot have one: see `tier_cli.dicom_out.sources.read_sources`.
    """
    import_highdicom()
    from highdicom.sc import SCImage
    from pydicom.dataset import Dataset

    (source,) = read_sources((result,))
    with guarded(result.paths[0], "the DICOM header"):
        identity = identity_of(result.model)
        capture = SCImage.from_ref_dataset(
            source,
            pixel_array=np.asarray(sheet(Drawn(explanation, explanation.maps[:_MOST]), SIDE)),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            series_instance_uid=derived_uid("SC series", result.study, *identity),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=derived_uid("SC", source.SOPInstanceUID, *identity),
            instance_number=1,
            manufacturer=MANUFACTURER,
            patient_orientation=("L", "F"),
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            specific_character_set="ISO_IR 192",
            series_description=_SERIES,
            manufacturer_model_name=name_of(result.model),
            software_versions=__version__,
        )
        # A sheet of pictures has no orientation and no side.
        capture.PatientOrientation = []
        capture.Laterality = ""
        # Made by a workstation, not by digitising film.
        capture.ConversionType = "WSD"
        capture.BurnedInAnnotation = "YES"
        capture.DerivationDescription = f"Maps of similarity of patches to texts by tier. {WARNING}"
        reference = Dataset()
        reference.ReferencedSOPClassUID = source.SOPClassUID
        reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
        reference.PurposeOfReferenceCodeSequence = [concept(SOURCE_IMAGE)]
        capture.SourceImageSequence = [reference]
    return capture
