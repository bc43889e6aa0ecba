"""Small DICOM files of every kind, made on the spot."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SECRETS = {
    "PatientName": "Doe^Jane",
    "PatientID": "ID-4711",
    "PatientBirthDate": "19500102",
    "StudyDate": "20010203",
    "AccessionNumber": "ACC-0815",
}


def codes_of(bits: int, signed: bool, side: int = 64, seed: int = 0) -> NDArray[Any]:
    """Return an image (side, side) with a ramp, noise and both extremes of `bits` bits."""
    low = -(2 ** (bits - 1)) if signed else 0
    ramp = np.linspace(0.02, 0.93, side * side).reshape(side, side)
    noise = np.random.default_rng(seed).normal(0, 0.01, ramp.shape)
    values = np.round(low + (ramp + noise).clip(0, 1) * (2**bits - 1)).astype(np.int64)
    codes: NDArray[Any] = values.astype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")
    return codes


def dataset_of(pixels: NDArray[Any], bits: int, **attributes: Any) -> Dataset:
    """Return a chest radiograph's data set with pixels (H, W) or (H, W, 3); None omits an attribute."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["instance"])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series"])
    dataset.Modality = "DX"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    dataset.BitsAllocated = 8 * pixels.itemsize
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW" if pixels.itemsize > 1 else "OB"
    with warnings.catch_warnings():
        # pydicom warns of values against the standard, which tests want on purpose.
        warnings.simplefilter("ignore")
        for keyword, value in {**SECRETS, **attributes}.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
    return dataset


def lut_item(
    entries: list[int], first: int, bits: int, *, signed: bool = False, count: int | None = None
) -> Dataset:
    """Give an item of a modality or VOI LUT sequence."""
    item = Dataset()
    descriptor = [len(entries) % 65536 if count is None else count, first, bits]
    item.add_new("LUTDescriptor", "SS" if signed else "US", descriptor)
    item.add_new("LUTData", "OW", np.array(entries, "<u2").tobytes())
    item.ModalityLUTType = "US"
    return item


def save(dataset: Dataset, path: Path) -> str:
    """Write the data set as a DICOM file and give its path."""
    dataset.save_as(path, enforce_file_format=True)
    return str(path)


def write(path: Path, bits: int = 12, *, pixels: NDArray[Any] | None = None, **attributes: Any) -> str:
    """Write a chest radiograph and give its path."""
    if pixels is None:
        pixels = codes_of(bits, signed=False)
    return save(dataset_of(pixels, bits, **attributes), path)
