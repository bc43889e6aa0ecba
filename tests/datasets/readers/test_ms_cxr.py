"""MS-CXR: each box with its phrase, and where the images of MIMIC-CXR-JPG are found."""

from __future__ import annotations

from pathlib import Path

import pytest
import region_layouts as layouts
from manifest_cells import cells, files, labels_of

from tier_cli.datasets.opening import read_dataset
from tier_cli.datasets.regions import regions
from tier_cli.errors import ManifestError


@pytest.mark.parametrize("beside", [True, False])
def test_ms_cxr_keeps_the_phrase_of_each_box(tmp_path: Path, beside: bool) -> None:
    root = layouts.ms_cxr(tmp_path / "ms-cxr", beside=beside)
    manifest = read_dataset("ms-cxr", root, "test")
    assert len(manifest) == 1
    assert Path(manifest.paths[0]).is_file()
    (found,) = regions(manifest)
    assert [region.text for region in found] == ["Opacities, bibasilar"] * 2 + ["Small effusion"]
    assert found[0].box == (196.0, 1136.0, 728.0, 1451.0)
    assert found[0].size == (2021, 1767)
    assert (cells(manifest, "patient"), cells(manifest, "study")) == (["10000032"], ["50414267"])
    assert labels_of(manifest, "chexpert14", "pneumonia", "pleural_effusion", "edema") == [[1, 1, None]]


def test_ms_cxr_splits(tmp_path: Path) -> None:
    new, old = layouts.ms_cxr(tmp_path / "new"), layouts.ms_cxr(tmp_path / "old", version="1.0.0")
    assert cells(read_dataset("ms-cxr", new, None), "split") == ["test", "valid"]
    assert cells(read_dataset("ms-cxr", new, "valid"), "instance") == ["cc-dd"]
    assert cells(read_dataset("ms-cxr", old, None), "split") == ["test", "test"]
    with pytest.raises(ManifestError, match="no split 'train'"):
        read_dataset("ms-cxr", old, "train")


@pytest.mark.parametrize(
    "place", ["mimic-cxr-jpg/2.1.0/files", "ms-cxr/mimic-cxr/files", "ms-cxr/1.1.0/files"]
)
def test_ms_cxr_finds_the_images_as_physionet_lays_them_out(tmp_path: Path, place: str) -> None:
    root = layouts.ms_cxr(tmp_path / "ms-cxr" / "1.1.0")
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (root / "files").rename(tmp_path / place)
    for given in (root, root.parent):
        manifest = read_dataset("ms-cxr", given, "test")
        assert Path(manifest.paths[0]).is_file()


def test_ms_cxr_takes_the_dicom_of_an_image(tmp_path: Path) -> None:
    root = layouts.ms_cxr(tmp_path)
    (jpeg,) = root.rglob("*.jpg")
    jpeg.unlink()
    layouts.picture(jpeg.with_suffix(".dcm"))
    assert files(read_dataset("ms-cxr", root, "test"), root) == ["files/p10/p10000032/s50414267/aa-bb.dcm"]
