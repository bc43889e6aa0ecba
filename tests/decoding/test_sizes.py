"""Sizes of images, in the pixels that boxes refer to."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from xrays import picture, write_dicom, write_png

from tier_cli.decoding.sizes import image_sizes
from tier_cli.errors import InputError


def test_sizes_are_height_and_width_of_the_file(tmp_path: Path) -> None:
    wide = tmp_path / "wide.png"
    Image.fromarray(picture(side=120)[:70]).save(wide)
    dicom, broken = write_dicom(tmp_path / "a.dcm"), write_png(tmp_path / "b.png")
    broken.write_bytes(broken.read_bytes()[:200])
    found = image_sizes([str(wide), str(dicom), str(broken)], workers=8)
    assert list(found) == [str(wide), str(dicom), str(broken)]
    assert found[str(wide)] == (70, 120)
    assert found[str(dicom)] == (80, 80)
    error = found[str(broken)]
    assert isinstance(error, InputError)
    assert error.kind == "damaged"


def test_laterals_have_sizes_too(tmp_path: Path) -> None:
    path = str(write_dicom(tmp_path / "a.dcm", view="LL"))
    assert image_sizes([path], workers=1) == {path: (80, 80)}


def test_no_process_starts_without_files() -> None:
    assert image_sizes([], workers=2) == {}
