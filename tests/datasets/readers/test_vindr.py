"""VinDr-CXR: the majority of three readers, the consensus, and Kaggle's rows of boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import region_layouts as layouts
from manifest_cells import cells, files, labels_of

from tier_cli.datasets.opening import read_dataset
from tier_cli.datasets.regions import Region, regions
from tier_cli.errors import ManifestError
from tier_cli.findings.load import builtin


def test_vindr_takes_the_majority_of_three_and_the_consensus(tmp_path: Path) -> None:
    root = layouts.vindr(tmp_path)
    manifest = read_dataset("vindr", root, None)
    assert files(manifest, root) == ["train/a1.dicom", "test/b1.dicom", "test/b2.dicom"]
    assert not np.isnan(manifest.labels(builtin("vindr28"))).any()
    wanted = ("nodule_mass", "ild", "other_disease", "calcification", "lung_opacity", "no_finding")
    assert labels_of(manifest, "vindr28", *wanted) == [[1, 1, 1, 0, 0, 0], [0, 0, 1, 0, 1, 0], [0] * 5 + [1]]
    assert cells(manifest, "split") == ["train", "test", "test"]
    assert len(set(manifest.patients())) == 3
    assert labels_of(manifest, "chexpert14", "lung_opacity") == [[0], [1], [0]]


def test_vindr_boxes_are_those_of_findings_that_the_majority_saw(tmp_path: Path) -> None:
    train, *test = regions(read_dataset("vindr", layouts.vindr(tmp_path), None))
    assert [region.finding for region in train] == ["nodule_mass", "nodule_mass", "ild"]
    assert train[0].box == (10.0, 20.0, 30.5, 40.0)
    assert test == [(Region("lung_opacity", box=(100, 200, 300, 400)),), ()]


def test_vindr_reads_kaggles_rows_of_boxes(tmp_path: Path) -> None:
    root = layouts.vindr_kaggle(tmp_path)
    manifest = read_dataset("vindr", root, "train")
    assert labels_of(manifest, "vindr28", "cardiomegaly", "ild", "no_finding", "copd") == [
        [1, 0, 0, None],
        [0, 0, 1, None],
    ]
    assert [len(found) for found in regions(manifest)] == [3, 0]
    with pytest.raises(ManifestError, match="has no test labels"):
        read_dataset("vindr", root, "test")


def test_vindr_a_tie_of_readers_is_uncertain(tmp_path: Path) -> None:
    path = layouts.vindr(tmp_path) / "annotations" / "image_labels_train.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:3]))
    manifest = read_dataset("vindr", tmp_path, "train")
    assert labels_of(manifest, "vindr28", "nodule_mass", "ild", "copd") == [[1, -1, 0]]


def test_vindr_finds_converted_images(tmp_path: Path) -> None:
    root = layouts.vindr(tmp_path)
    (root / "test" / "b1.dicom").unlink()
    layouts.picture(root / "test" / "b1.png")
    manifest = read_dataset("vindr", root, "test")
    assert files(manifest, root) == ["test/b1.png", "test/b2.dicom"]
    assert any("images with boxes that are not DICOM: 1" in note for note in manifest.notes)


def test_vindr_scales_boxes_where_the_first_size_is_known(tmp_path: Path) -> None:
    root = layouts.vindr_kaggle(tmp_path)
    (root / "train" / "a1.dicom").unlink()
    layouts.picture(root / "train" / "a1.png")
    layouts.put(root / "train_meta.csv", "image_id,dim0,dim1\na1,2400,1600\n")
    manifest = read_dataset("vindr", root, "train")
    assert not any("not DICOM" in note for note in manifest.notes)
    region = regions(manifest)[0][1]
    assert (region.box, region.size) == ((50, 60, 70, 80), (2400, 1600))


def test_vindr_without_the_tables_of_a_split(tmp_path: Path) -> None:
    root = layouts.vindr(tmp_path)
    (root / "annotations" / "image_labels_test.csv").unlink()
    with pytest.raises(ManifestError, match="the test split of VinDr-CXR is missing"):
        read_dataset("vindr", root, "test")
