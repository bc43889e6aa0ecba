"""Write synthetic chests as DICOM or PNG files that are marked as synthetic."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from tier_cli.phantom.render import PhantomImage

Compression = Literal["none", "rle", "jpeg2000"]
_STORED_MAX = 4095  # 12 bits stored of 16
# Black and white lie inside the stored range, so that ignoring the window shows in the result.
_BLACK, _WHITE = 300, 3500
_FIELD_MM = 400
_DX_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"


def write_dicom(
    path: str | Path,
    phantom: PhantomImage,
    *,
    monochrome1: bool = False,
    compression: Compression = "none",
    view: str = "PA",
    patient: str = "",
    study: str = "",
) -> None:
    """Write a phantom as a DX image with 12 bits stored and a window, marked as synthetic.

    The same phantom and arguments give the same file, as UIDs are derived from the pixels.

    Parameters
    ----------
    path
        The file to write.
    phantom
        The image, from `tier_cli.phantom.render.make_phantom`.
    monochrome1
        Store bright pixels as low values, tagged MONOCHROME1 and INVERSE.
    compression
        Transfer syntax: Explicit VR Little Endian, RLE Lossless or JPEG 2000 Lossless.
    view
        ViewPosition.
    patient
        PatientID; derived from the seed by default.
    study
        Files with the same text belong to one study; by default each file is its own study.

    Raises
    ------
    UsageError
        An unknown compression.
    """
    from pydicom.uid import JPEG2000Lossless, RLELossless

    if compression not in ("none", "rle", "jpeg2000"):
        raise UsageError(f"unknown compression {compression!r}", remedy="use none, rle or jpeg2000")
    stored = np.rint(_BLACK + phantom.pixels.astype(np.float64) * (_WHITE - _BLACK)).astype(np.uint16)
    if monochrome1:
        stored = (_STORED_MAX - stored).astype(np.uint16)
    dataset = _dataset(stored, monochrome1, view, patient or f"SYNTHETIC-{phantom.seed}")
    if study:
        dataset.StudyInstanceUID = _uid(f"{study} study")
    if compression == "rle":
        dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    elif compression == "jpeg2000":
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    dataset.save_as(Path(path), enforce_file_format=True)


def write_png(path: str | Path, phantom: PhantomImage, *, bits: Literal[8, 16] = 8) -> None:
    """Write a phantom as a grey PNG of 8 or 16 bits, marked as synthetic in its Description."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    if bits == 16:
        picture = Image.fromarray(np.rint(phantom.pixels.astype(np.float64) * 65535).astype(np.uint16))
    else:
        picture = Image.fromarray(np.rint(phantom.pixels * 255).astype(np.uint8))
    about = PngInfo()
    about.add_text("Description", "SYNTHETIC CHEST PHANTOM, not a patient")
    picture.save(Path(path), format="PNG", optimize=True, pnginfo=about)


def _dataset(stored: NDArray[np.uint16], monochrome1: bool, view: str, patient: str) -> Dataset:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    digest = hashlib.sha256(stored.tobytes() + f"{monochrome1}{view}{patient}".encode()).hexdigest()
    dataset.SOPClassUID = _DX_FOR_PRESENTATION
    dataset.SOPInstanceUID = _uid(digest + "instance")
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _uid(digest + "study"), _uid(digest + "series")
    _describe(dataset, view, patient)
    _geometry(dataset, stored.shape[1], monochrome1)
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel = 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = stored.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def _describe(dataset: Dataset, view: str, patient: str) -> None:
    """Fill in patient, study and view: no person, no date, a phantom."""
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = "Computed from geometric shapes; no patient was imaged"
    dataset.PatientName, dataset.PatientID = "SYNTHETIC^PHANTOM", patient
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.ContentDate, dataset.ContentTime = "20000101", "000000"
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "1", 1, 1
    dataset.StudyDescription = dataset.SeriesDescription = "SYNTHETIC CHEST PHANTOM"
    dataset.ImageComments = "SYNTHETIC CHEST PHANTOM"
    dataset.Manufacturer = "tier-cli"
    dataset.Modality, dataset.PresentationIntentType = "DX", "FOR PRESENTATION"
    dataset.BodyPartExamined, dataset.ViewPosition, dataset.ImageLaterality = "CHEST", view, "U"
    dataset.PatientOrientation = ["L", "F"]
    dataset.AnatomicRegionSequence = [_code("51185008", "SCT", "Chest")]
    dataset.ViewCodeSequence = [
        _code("399348003", "SCT", "antero-posterior")
        if view == "AP"
        else _code("272479007", "SCT", "postero-anterior")
    ]
    dataset.DetectorType, dataset.AcquisitionContextSequence = "", []
    dataset.BurnedInAnnotation, dataset.LossyImageCompression = "NO", "00"


def _geometry(dataset: Dataset, columns: int, monochrome1: bool) -> None:
    """Fill in the pixel size and the path from stored to displayed values."""
    spacing = f"{_FIELD_MM / columns:.6f}"
    dataset.ImagerPixelSpacing = dataset.PixelSpacing = [spacing, spacing]
    dataset.PixelSpacingCalibrationType = "GEOMETRY"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = 1 if monochrome1 else -1
    dataset.PhotometricInterpretation = "MONOCHROME1" if monochrome1 else "MONOCHROME2"
    dataset.PresentationLUTShape = "INVERSE" if monochrome1 else "IDENTITY"
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    middle = (_BLACK + _WHITE) / 2
    # LINEAR (PS3.3 C.11.2.1.2.1) reaches white at centre - 0.5 + (width - 1) / 2.
    centre = (_STORED_MAX - middle if monochrome1 else middle) + 0.5
    dataset.WindowCenter, dataset.WindowWidth = centre, _WHITE - _BLACK + 1
    dataset.WindowCenterWidthExplanation = "CHEST"
    dataset.VOILUTFunction = "LINEAR"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    from pydicom.dataset import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _uid(key: str) -> str:
    """Return a UID that depends on the key alone (PS3.5 B.2: 2.25 and a 128-bit number)."""
    return f"2.25.{int(hashlib.sha256(key.encode()).hexdigest()[:32], 16)}"
