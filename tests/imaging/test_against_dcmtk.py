"""Displayed grey levels against DCMTK's dcmj2pnm: within 2 of 255 for at least 99 % of pixels."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_maker import codes_of, dataset_of, lut_item, save, write
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph

pytestmark = pytest.mark.skipif(
    shutil.which("dcmj2pnm") is None, reason="needs dcmj2pnm (Debian package dcmtk)"
)

PHOTOMETRIC = ("MONOCHROME1", "MONOCHROME2")
SHAPES = (None, "IDENTITY", "INVERSE")
SIGNED = (False, True)
MODALITY = (None, "rescale", "negative", "lut")
VOI = (None, "LINEAR", "LINEAR_EXACT", "SIGMOID", "lut")
BITS = tuple(range(8, 17))
MATRIX = list(itertools.product(PHOTOMETRIC, SHAPES, SIGNED, MODALITY, VOI, BITS))


def dcmtk(path: str, *options: str) -> NDArray[np.float64]:
    """Let DCMTK show a file without overlays: grey levels (H, W) of 255."""
    output = path + ".pnm"
    subprocess.run(["dcmj2pnm", "-q", "-O", *options, path, output], check=True)
    with Image.open(output) as image:
        return np.asarray(image.convert("L"), np.float64)


def agreement(path: str, *options: str) -> float:
    """Give the share of pixels that differ by at most 2 grey levels."""
    ours = read_radiograph(path, ReadOptions(accept_any=True, views="all")).pixels * 255.0
    return float(np.mean(np.abs(ours - dcmtk(path, *options)) <= 2.0))


def cell(
    photometric: str, shape: str | None, signed: bool, modality: str | None, voi: str | None, bits: int
) -> tuple[Dataset, tuple[str, ...]] | None:
    """Make one file of the matrix and the options DCMTK needs for it; None where no LUT can describe it."""
    dataset = dataset_of(codes_of(bits, signed), bits, PhotometricInterpretation=photometric)
    if shape:
        dataset.PresentationLUTShape = shape
    stored = -(2 ** (bits - 1)) if signed else 0
    low, high = add_modality(dataset, modality, stored, bits, signed)
    reach = high - low
    if voi == "lut":
        first, count = low + reach // 10, min(reach * 7 // 10 + 1, 65535)
        if not -32768 <= first <= (32767 if low < 0 else 65535):
            return None
        curve = [int(1023 * (i / (count - 1)) ** 1.3) for i in range(count)]
        dataset.VOILUTSequence = [lut_item(curve, first, 10, signed=low < 0)]
        return dataset, ("+Wl", "1")
    if voi:
        center, width = low + reach * 9 // 20, reach * 7 // 10
        dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = center, width, voi
        # DCMTK knows no LINEAR_EXACT and takes it for LINEAR. This is the LINEAR window of the same meaning.
        exact = ("+Ww", str(center + 0.5), str(width + 1), "+Wfl")
        return dataset, exact if voi == "LINEAR_EXACT" else ("+Wi", "1")
    return dataset, ("-W",) if bits == 8 and modality != "lut" else ("+Wm",)


def add_modality(
    dataset: Dataset, modality: str | None, stored: int, bits: int, signed: bool
) -> tuple[int, int]:
    """Add the modality transformation and give the range of its output."""
    if modality == "lut":
        count = min(2**bits, 65535)
        curve = [int(4095 * (i / count) ** 0.7) for i in range(count)]
        dataset.ModalityLUTSequence = [lut_item(curve, stored, 12, signed=signed)]
        return 0, 4095
    # Whole slopes: into a VOI LUT, DCMTK truncates fractions where this project rounds them.
    slope, intercept = {"rescale": (2, -300), "negative": (-2, 100)}.get(modality or "", (1, 0))
    if modality:
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = slope, intercept, "US"
    ends = stored * slope + intercept, (stored + 2**bits - 1) * slope + intercept
    return min(ends), max(ends)


def check(cells: list[Any], folder: Path) -> None:
    wrong = []
    for settings in cells:
        made = cell(*settings)
        if made is None:
            continue
        share = agreement(save(made[0], folder / "cell.dcm"), *made[1])
        if share < 0.99:
            wrong.append((settings, round(share, 3)))
    assert wrong == []


def test_a_sample_of_the_matrix(tmp_path: Path) -> None:
    # 17 shares no factor with the lengths of the axes, so no choice on one axis is tied to one on another.
    check(MATRIX[::17], tmp_path)


@pytest.mark.slow
def test_the_whole_matrix(tmp_path: Path) -> None:
    check(MATRIX, tmp_path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("CT_small.dcm", ["+Wm"]),
        ("MR_small_bigendian.dcm", ["+Wi", "1"]),
        ("NM1_J2KI.dcm", ["+Wm"]),
        ("RG1_J2KI.dcm", ["+Wi", "1"]),
        ("RG2_J2KI.dcm", ["+Wi", "1"]),
        ("RG2_JLSL", ["+Wi", "1"]),
        ("RG2_JPLL.dcm", ["+Wi", "1"]),
        ("RG2_RLE.dcm", ["+Wi", "1"]),
        # The next two say that rows point to the patient's right: this project mirrors them, DCMTK does not.
        ("RG3_J2KR", ["+Wi", "1", "+Lh"]),
        ("RG3_JPLY.dcm", ["+Wi", "1", "+Lh"]),
        ("SC_rgb_16bit_2frame.dcm", ["-W"]),
        ("US1_J2KI.dcm", ["-W"]),
        ("cxr_jpeg_mono1.dcm", ["-W"]),
        ("cxr_jpeg_mono2.dcm", ["-W"]),
        *((f"nih_test{number}.dcm", ["-W"]) for number in range(1, 7)),
    ],
)
def test_real_files(shared: Path, tmp_path: Path, name: str, options: list[str]) -> None:
    path = shared / "data" / "dicom" / name
    plain = tmp_path / "plain.dcm"
    dataset = dcmread(path)
    # DCMTK decodes 12-bit JPEG itself, which pydicom cannot; JPEG 2000 and JPEG-LS the other way round.
    if dataset.file_meta.TransferSyntaxUID.is_compressed and name != "RG3_JPLY.dcm":
        dataset.decompress(generate_instance_uid=False)
    dataset.save_as(plain)
    shown = dcmtk(str(plain), *options)
    ours = read_radiograph(str(path), ReadOptions(accept_any=True)).pixels * 255.0
    assert np.mean(np.abs(ours - shown) <= 2.0) >= 0.99


def test_a_lut_of_bytes(tmp_path: Path) -> None:
    item = lut_item([], 0, 8, count=256)
    curve = (255 * (np.arange(256) / 255) ** 2).astype(np.uint8)
    item.LUTData = curve.tobytes()
    path = write(tmp_path / "bytes.dcm", 8, VOILUTSequence=[item])
    assert agreement(path, "+Wl", "1") >= 0.99


def test_bits_above_the_stored_ones_are_ignored(tmp_path: Path) -> None:
    rubbish = codes_of(12, signed=False) | (codes_of(4, signed=False, seed=1).astype(np.uint16) << 12)
    path = write(tmp_path / "overlay.dcm", 12, pixels=rubbish, WindowCenter=2000, WindowWidth=3000)
    assert agreement(path, "+Wi", "1") >= 0.99


def test_high_bit_above_bits_stored(tmp_path: Path) -> None:
    shifted = codes_of(12, signed=False) << 4
    path = write(tmp_path / "high.dcm", 12, pixels=shifted, HighBit=15, WindowCenter=2000, WindowWidth=3000)
    assert agreement(path, "+Wi", "1") >= 0.99


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_becomes_its_luminance(tmp_path: Path, planar: int) -> None:
    colour = np.stack(
        [codes_of(8, signed=False, seed=seed)[:: 1 - 2 * (seed % 2)] for seed in range(3)], axis=-1
    )
    dataset = dataset_of(colour, 8, PlanarConfiguration=planar)
    if planar:
        dataset.PixelData = np.moveaxis(colour, -1, 0).tobytes()
    assert agreement(save(dataset, tmp_path / "colour.dcm"), "-W") >= 0.99
