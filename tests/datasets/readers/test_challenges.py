"""RSNA and SIIM-ACR: several rows per image, boxes and masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import region_layouts as layouts
from manifest_cells import cells, files, labels_of

from tier_cli.datasets.opening import read_dataset
from tier_cli.datasets.regions import Region, regions
from tier_cli.errors import ManifestError


def test_rsna_has_one_row_per_patient_with_all_boxes(tmp_path: Path) -> None:
    root = layouts.rsna(tmp_path)
    manifest = read_dataset("rsna", root, "train")
    assert files(manifest, root) == [f"stage_2_train_images/p{n}.dcm" for n in (1, 2, 3)]
    assert labels_of(manifest, "chexpert14", "pneumonia", "no_finding") == [[1, 0], [0, 1], [0, 0]]
    assert [len(found) for found in regions(manifest)] == [2, 0, 0]
    assert regions(manifest)[0][0] == Region("Pneumonia", box=(264, 152, 477, 531), size=(1024, 1024))
    assert cells(manifest, "instance") == ["p1", "p2", "p3"]
    assert cells(manifest, "patient") == ["", "", ""]
    assert any("patientId names an image" in note for note in manifest.notes)
    assert not any("No Finding is blank" in note for note in manifest.notes)


def test_rsna_counts_the_images_that_the_table_of_classes_lacks(tmp_path: Path) -> None:
    """Otherwise rows drop out of No Finding without a word."""
    path = layouts.rsna(tmp_path) / "stage_2_detailed_class_info.csv"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("p3")))
    manifest = read_dataset("rsna", tmp_path, None)
    assert labels_of(manifest, "chexpert14", "no_finding") == [[0], [1], [None]]
    assert any(note.startswith("No Finding is blank in 1 of 3 images") for note in manifest.notes)


def test_rsna_without_classes_leaves_no_finding_blank(tmp_path: Path) -> None:
    manifest = read_dataset("rsna", layouts.rsna(tmp_path, classes=False), None)
    assert labels_of(manifest, "chexpert14", "pneumonia", "no_finding") == [[1, None], [0, None], [0, None]]
    assert any("No Finding is blank" in note for note in manifest.notes)


def test_rsna_refuses_targets_that_contradict(tmp_path: Path) -> None:
    path = layouts.rsna(tmp_path) / "stage_2_train_labels.csv"
    path.write_text(path.read_text() + "p1,,,,,0\n")
    with pytest.raises(ManifestError, match="image p1 has the target '0' in row 5"):
        read_dataset("rsna", tmp_path, None)


@pytest.mark.parametrize(("space", "table"), [(" ", "train-rle.csv"), ("", "stage_2_train.csv")])
def test_siim_reads_masks_of_several_rows(tmp_path: Path, space: str, table: str) -> None:
    root = layouts.siim(tmp_path, space=space, table=table)
    manifest = read_dataset("siim", root, "train")
    place = "siim/dicom-images-train"
    assert files(manifest, root) == [f"{place}/{s}/{s}.1/{s}.1.1.dcm" for s in ("1.2.3", "1.2.4")]
    assert cells(manifest, "study") == ["1.2.3", "1.2.4"]
    assert labels_of(manifest, "chexpert14", "pneumothorax") == [[1], [0]]
    (first, second), none = regions(manifest)
    # Offset 1024 = the top of the second column; then 1019 further on, the third column's top.
    truth = np.zeros((1024, 1024), dtype=bool)
    truth[:5, 1] = truth[:3, 2] = True
    np.testing.assert_array_equal(first.mask(1024, 1024), truth)
    assert second.mask(1024, 1024).sum() == 2
    assert none == ()


def test_siim_does_not_take_pictures_of_masks_for_images(tmp_path: Path) -> None:
    root = layouts.siim(tmp_path)
    (dicom,) = root.rglob("1.2.3.1.1.dcm")
    dicom.unlink()
    for folder in ("a_masks", "png_images"):
        layouts.picture(root / folder / "1.2.3.1.1.png")
    assert files(read_dataset("siim", root, None), root)[0] == "png_images/1.2.3.1.1.png"


def test_siim_names_the_row_of_a_broken_mask(tmp_path: Path) -> None:
    path = layouts.siim(tmp_path) / "train-rle.csv"
    path.write_text(path.read_text() + "1.2.4.1.1,5 9999999\n")
    with pytest.raises(ManifestError, match=r"row 4, column 'EncodedPixels': the runs exceed"):
        read_dataset("siim", tmp_path, None)
