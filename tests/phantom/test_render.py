"""Synthetic chests: reproducible, with the requested findings in their boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tier_cli.errors import UsageError
from tier_cli.phantom.image_files import Compression, write_dicom, write_png
from tier_cli.phantom.lesions import FINDINGS, Lesion
from tier_cli.phantom.render import PhantomImage, make_phantom

SMALL = (128, 128)


@pytest.fixture(scope="module")
def healthy() -> PhantomImage:
    return make_phantom(3, shape=SMALL, noise=0)


def test_same_seed_same_picture() -> None:
    one, two = (make_phantom(11, ["nodule"], SMALL) for _ in range(2))
    np.testing.assert_array_equal(one.pixels, two.pixels)
    assert one.boxes == two.boxes
    assert not np.array_equal(one.pixels, make_phantom(12, ["nodule"], SMALL).pixels)


def test_it_is_a_chest_in_display_space(healthy: PhantomImage) -> None:
    pixels = healthy.pixels
    assert pixels.dtype == np.float32
    assert pixels.shape == SMALL
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    right, spine, left = pixels[64, 30:42].mean(), pixels[64, 60:68].mean(), pixels[64, 86:98].mean()
    assert max(right, left) < 0.45 < spine
    assert pixels[:10, :20].max() < 0.05, "the air beside the neck is black"
    assert pixels[120:, 40:90].min() > 0.5, "the abdomen is bright"
    assert healthy.findings == {}
    assert healthy.boxes == {}


@pytest.mark.parametrize("finding", FINDINGS)
@pytest.mark.parametrize("side", ["right", "left"])
def test_each_finding_changes_the_picture_where_its_box_is(
    finding: str, side: str, healthy: PhantomImage
) -> None:
    sick = make_phantom(3, [Lesion(finding, side, 0.6)], SMALL, noise=0)
    change = sick.pixels - healthy.pixels
    x0, y0, x1, y1 = sick.boxes[finding][0]
    assert 0 <= x0 < x1 <= 128
    assert 0 <= y0 < y1 <= 128
    inside = np.zeros(SMALL, dtype=bool)
    inside[y0:y1, x0:x1] = True
    assert np.abs(change[inside]).mean() > 5 * np.abs(change[~inside]).mean()
    assert (change[inside].mean() < 0) == (finding == "pneumothorax"), "only free air makes it darker"
    if finding != "cardiomegaly":
        assert ((x0 + x1) / 2 < 64) == (side == "right"), "the patient's right is the image's left"


@pytest.mark.parametrize("finding", ["effusion", "cardiomegaly", "pneumothorax", "nodule", "consolidation"])
def test_larger_is_larger(finding: str) -> None:
    def area(size: float) -> int:
        x0, y0, x1, y1 = make_phantom(5, [Lesion(finding, "left", size)], SMALL).boxes[finding][0]
        return (x1 - x0) * (y1 - y0)

    assert area(0.2) < area(0.9)


def test_lower_contrast_is_fainter(healthy: PhantomImage) -> None:
    full, faint = (
        np.abs(
            make_phantom(3, [Lesion("effusion", "left", 0.6, c)], SMALL, noise=0).pixels - healthy.pixels
        ).sum()
        for c in (1.0, 0.4)
    )
    assert faint < 0.8 * full


def test_several_findings_keep_their_boxes() -> None:
    image = make_phantom(1, ["cardiomegaly", Lesion("effusion", "left"), Lesion("effusion", "right")], SMALL)
    assert set(image.findings) == {"cardiomegaly", "effusion"}
    assert [one.side for one in image.findings["effusion"]] == ["left", "right"]
    assert len(image.boxes["effusion"]) == 2


@pytest.mark.parametrize("fault", [("fracture",), ("nodule", "middle"), ("nodule", "left", 2.0)])
def test_faults_are_reported(fault: tuple[str | float, ...]) -> None:
    with pytest.raises(UsageError):
        Lesion(*fault)  # type: ignore[arg-type]


@pytest.mark.parametrize("monochrome1", [False, True])
@pytest.mark.parametrize("compression", ["none", "rle", "jpeg2000"])
def test_dicom_displays_the_phantom_by_pydicoms_own_pipeline(
    tmp_path: Path, healthy: PhantomImage, monochrome1: bool, compression: Compression
) -> None:
    import pydicom
    from pydicom.pixels.processing import apply_voi_lut

    path = tmp_path / "phantom.dcm"
    write_dicom(path, healthy, monochrome1=monochrome1, compression=compression)
    dataset = pydicom.dcmread(path)
    assert (dataset.Modality, dataset.BitsStored, str(dataset.PatientName)) == ("DX", 12, "SYNTHETIC^PHANTOM")
    assert list(dataset.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert dataset.BurnedInAnnotation == "NO"
    shown = apply_voi_lut(dataset.pixel_array, dataset) / 4095
    shown = 1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown
    np.testing.assert_allclose(shown, healthy.pixels, atol=1 / 3000)


def test_same_phantom_same_file(tmp_path: Path, healthy: PhantomImage) -> None:
    for name in ("one.dcm", "two.dcm"):
        write_dicom(tmp_path / name, healthy, compression="rle")
    assert (tmp_path / "one.dcm").read_bytes() == (tmp_path / "two.dcm").read_bytes()


def test_unknown_compression_is_reported(tmp_path: Path, healthy: PhantomImage) -> None:
    with pytest.raises(UsageError, match="compression"):
        write_dicom(tmp_path / "x.dcm", healthy, compression="zip")  # type: ignore[arg-type]


@pytest.mark.parametrize(("bits", "most"), [(8, 255), (16, 65535)])
def test_png_holds_the_phantom(tmp_path: Path, healthy: PhantomImage, bits: int, most: int) -> None:
    from PIL import Image

    write_png(tmp_path / "phantom.png", healthy, bits=bits)  # type: ignore[arg-type]
    with Image.open(tmp_path / "phantom.png") as picture:
        assert picture.text["Description"].startswith("SYNTHETIC")  # type: ignore[attr-defined]
        np.testing.assert_allclose(np.asarray(picture) / most, healthy.pixels, atol=0.51 / most + 1e-7)


@pytest.mark.parametrize("name", ["none.dcm", "mono1.dcm", "rle.dcm", "eight.png", "sixteen.png"])
def test_the_projects_reader_gives_the_phantom_back(tmp_path: Path, healthy: PhantomImage, name: str) -> None:
    from tier_cli.imaging.read import read_radiograph

    path = tmp_path / name
    if path.suffix == ".png":
        write_png(path, healthy, bits=16 if name == "sixteen.png" else 8)
    else:
        compression: Compression = "rle" if name == "rle.dcm" else "none"
        write_dicom(path, healthy, monochrome1=name == "mono1.dcm", compression=compression)
    radiograph = read_radiograph(str(path))
    np.testing.assert_allclose(radiograph.pixels, healthy.pixels, atol=1 / 255)
    assert radiograph.view == ("" if path.suffix == ".png" else "PA")
