"""Generate small chest X-rays as DICOM and PNG, for tests of all packages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def picture(seed: int = 0, side: int = 80, width: int | None = None) -> NDArray[np.uint8]:
    """Return grey levels (side, width or side) that differ between seeds."""
    shape = side, width or side
    ramp = np.linspace(20, 200, shape[0] * shape[1]).reshape(shape)
    noise = np.random.default_rng(seed).normal(0, 20, shape)
    return (ramp + noise).clip(0, 255).astype(np.uint8)


def write_png(path: Path, seed: int = 0, side: int = 80) -> Path:
    """Write a PNG file."""
    from PIL import Image

    Image.fromarray(picture(seed, side)).save(path)
    return path


def write_dicom(path: Path, seed: int = 0, study: str = "1.2.3", view: str = "PA", **more: str) -> Path:
    """Write a radiograph of a patient named Doe; keywords set further DICOM elements."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    pixels = picture(seed)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = study, f"{study}.1", f"{study}.1.{seed}"
    ds.PatientName, ds.PatientID, ds.AccessionNumber = "Doe^Jane", "ID4711", "ACC0815"
    ds.PatientBirthDate, ds.StudyDate = "19500102", "20010203"
    ds.Modality, ds.BodyPartExamined, ds.ViewPosition = "DX", "CHEST", view
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    ds.PixelData = pixels.tobytes()
    ds.save_as(path, enforce_file_format=True)
    return path
