"""CheXpert and CheXpert 5x200 from their folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layouts import (
    CHEXPERT_HEADER,
    READER_HEADER,
    STUDY_HEADER,
    chexlocalize,
    chexpert,
    chexpert_5x200,
    chexpert_reads,
    chexpert_row,
    write_image,
    write_table,
)

from tier_cli.datasets.opening import open_data, read_dataset
from tier_cli.errors import ManifestError
from tier_cli.findings.load import builtin

NAN = np.nan


def _label(manifest, name: str) -> list[float]:
    findings = builtin("chexpert14")
    return list(manifest.labels(findings)[:, findings.ids.index(name)])


@pytest.mark.parametrize("name", ["CheXpert-v1.0-small", "CheXpert-v1.0"])
@pytest.mark.parametrize("at_parent", [True, False])
def test_train_and_valid_from_the_folder_or_its_parent(tmp_path: Path, name: str, at_parent: bool) -> None:
    root = chexpert(tmp_path, name)
    manifest = read_dataset("chexpert", tmp_path if at_parent else root, None)
    assert all(Path(path).is_file() for path in manifest.paths)
    assert list(manifest.column("split")) == ["train"] * 4 + ["valid"] * 2
    assert list(manifest.column("view")) == ["AP", "LATERAL", "FRONTAL", "PA", "AP", "PA"]
    assert list(manifest.column("sex")) == ["F", "F", "", "M", "M", "M"]
    # Age 0 means that nobody knows.
    assert list(manifest.column("age")) == ["68", "68", "", "41", "73", "70"]
    assert manifest.column("patient")[0] == "patient00001"
    assert manifest.column("study")[2] == "patient00002/study2"


def test_blank_zero_and_uncertain_stay_apart(tmp_path: Path) -> None:
    manifest = read_dataset("chexpert", chexpert(tmp_path), "train")
    np.testing.assert_array_equal(_label(manifest, "fracture"), [-1, NAN, NAN, NAN])
    np.testing.assert_array_equal(_label(manifest, "atelectasis"), [NAN, NAN, 0, NAN])
    np.testing.assert_array_equal(_label(manifest, "edema"), [1, 1, NAN, NAN])


def test_gzipped_tables_and_columns_with_spaces(tmp_path: Path) -> None:
    root = chexpert(tmp_path, kind=".csv.gz")
    (root / "valid.csv.gz").unlink()
    line = chexpert_row("x/valid/patient64541/study1/view1_frontal.jpg", "Male,7,Frontal,AP", {}, " 1.0 ")
    write_table(root / "valid.csv", [f" {name} " for name in CHEXPERT_HEADER], [line])
    manifest = read_dataset("chexpert", root, None)
    assert len(manifest) == 5
    assert _label(manifest, "fracture")[-1] == 1


def test_a_missing_image_stays_a_row_and_is_reported(tmp_path: Path) -> None:
    root = chexpert(tmp_path)
    (root / "valid/patient64542/study1/view1_frontal.jpg").unlink()
    manifest = read_dataset("chexpert", root, "valid")
    assert len(manifest) == 2
    assert any(note.startswith("1 of 2 images are not on disk") for note in manifest.notes)


def test_test_set_of_chexlocalize(tmp_path: Path) -> None:
    chexlocalize(tmp_path / "chexlocalize")
    manifest = read_dataset("chexpert", tmp_path, "test")
    assert all(Path(path).is_file() for path in manifest.paths)
    assert list(manifest.column("view")) == ["FRONTAL", "LATERAL", "FRONTAL"]
    assert _label(manifest, "lung_opacity") == [1, 1, 0]
    assert _label(manifest, "lung_lesion") == [0, 0, 1]
    valid = read_dataset("chexpert", tmp_path, "valid")
    assert Path(valid.paths[0]).is_file()
    assert "/val/" in valid.paths[0]


def test_labels_of_studies_go_to_every_image(tmp_path: Path) -> None:
    root = chexlocalize(tmp_path)
    (root / "test_labels.csv").unlink()
    chexpert_reads(tmp_path)
    manifest = read_dataset("chexpert", tmp_path, "test")
    assert _label(manifest, "lung_lesion") == [0, 0, 1]
    assert list(manifest.column("study")) == ["patient64741/study1"] * 2 + ["patient64742/study1"]
    assert any("belong to 2 studies" in note for note in manifest.notes)


def test_reads_are_matched_by_name_because_two_columns_are_swapped(tmp_path: Path) -> None:
    assert READER_HEADER != STUDY_HEADER
    chexlocalize(tmp_path)
    chexpert_reads(tmp_path, truth=False)
    manifest = read_dataset("chexpert", tmp_path, "test")
    for reader in ("bc4", "bc6"):
        assert list(manifest.column(f"reader:{reader}:lung_opacity")) == ["1", "1", "0"]
        assert list(manifest.column(f"reader:{reader}:lung_lesion")) == ["0", "0", "1"]
    # A study that one of them did not read is blank, not absent.
    assert list(manifest.column("reader:bc8:edema")) == ["0", "0", ""]
    assert manifest.ignored_columns(builtin("chexpert14")) == []


def test_the_split_to_evaluate_is_test_else_valid(tmp_path: Path) -> None:
    chexpert(tmp_path)
    assert set(open_data("chexpert", None, tmp_path).column("split")) == {"valid"}
    with pytest.raises(ManifestError, match=r"looked for test_labels\.csv or test\.csv or groundtruth\.csv"):
        open_data("chexpert", None, tmp_path, "test")
    chexlocalize(tmp_path)
    assert set(open_data("chexpert", None, tmp_path).column("split")) == {"test"}


def test_two_resolutions_under_one_root_are_not_chosen_between(tmp_path: Path) -> None:
    chexpert(tmp_path)
    chexpert(tmp_path, "CheXpert-v1.0")
    with pytest.raises(ManifestError, match=r"CheXpert-v1\.0, CheXpert-v1\.0-small.*--root"):
        read_dataset("chexpert", tmp_path, "train")


def test_a_wrong_root_says_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(ManifestError, match=r"looked for train\.csv .* found holiday\.jpg"):
        read_dataset("chexpert", tmp_path, None)


def test_a_table_of_something_else_names_file_and_columns(tmp_path: Path) -> None:
    write_table(tmp_path / "train.csv", ["id", "label"], [["1", "2"]])
    with pytest.raises(ManifestError, match=r"train\.csv: no column 'Path'.*id, label"):
        read_dataset("chexpert", tmp_path, "train")


def test_the_archives_of_the_full_size_download(tmp_path: Path) -> None:
    root = chexpert(tmp_path / "staging", "CheXpert-v1.0")
    first = tmp_path / "CheXpert-v1.0 batch 1 (validate & csv)"
    (root / "train").rename(tmp_path / "CheXpert-v1.0 batch 2 (train 1)")
    root.rename(first)
    write_image(tmp_path / "CheXpert-v1.0 batch 3 (train 2)/patient00003/study1/view1_frontal.jpg")
    moved = tmp_path / "CheXpert-v1.0 batch 2 (train 1)/patient00003/study1/view1_frontal.jpg"
    moved.unlink()
    moved.parent.rmdir()
    moved.parent.parent.rmdir()
    for root in (tmp_path, first):
        assert all(Path(path).is_file() for path in read_dataset("chexpert", root, None).paths)


def test_5x200_is_the_published_list(tmp_path: Path) -> None:
    root = chexpert(tmp_path)
    chexpert_5x200(root)
    manifest = open_data("chexpert-5x200", None, tmp_path)
    assert all(Path(path).is_file() for path in manifest.paths)
    findings = builtin("chexpert5")
    labels = manifest.labels(findings)
    assert labels.sum(axis=1).tolist() == [1, 1]
    assert labels[:, findings.ids.index("edema")].tolist() == [1, 0]
    assert list(manifest.column("text")) == ["1. EDEMA.", "BIG HEART, STABLE."]
    assert any("1000" in note for note in manifest.notes)


def test_5x200_in_the_layout_of_medclip(tmp_path: Path) -> None:
    chexpert(tmp_path)
    five = ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"]
    place = "./data/CheXpert-v1.0-small/train/patient00003/study1/view1_frontal.jpg"
    table = tmp_path / "chexpert-5x200-meta.csv"
    write_table(table, ["", "imgpath", *five], [["7", place, "0.0", "1.0", "0.0", "0.0", "0.0"]])
    manifest = open_data("chexpert-5x200", None, tmp_path)
    assert [Path(path).is_file() for path in manifest.paths] == [True]
    assert list(manifest.column("Cardiomegaly")) == ["1"]


def test_patients_of_5x200_are_not_trained_on(tmp_path: Path) -> None:
    root = chexpert(tmp_path)
    chexpert_5x200(root)
    train = read_dataset("chexpert", root, "train")
    assert list(train.column("patient")) == ["patient00002"]
    assert "left out: 3" in train.notes[0]


def test_5x200_with_two_findings_in_an_image_is_refused(tmp_path: Path) -> None:
    root = chexpert(tmp_path)
    line = chexpert_row("a/train/patient00001/study1/view1_frontal.jpg", ",,,", {}, "1.0")
    write_table(root / "chexpert_5x200.csv", CHEXPERT_HEADER, [line])
    with pytest.raises(ManifestError, match="row 1 has 5 of the five findings"):
        open_data("chexpert-5x200", None, root)


def test_labels_of_the_test_set_without_its_images_do_not_stop_the_other_splits(tmp_path: Path) -> None:
    """The labels are public and small: many have them beside a CheXpert without test images."""
    root = chexpert(tmp_path)
    chexpert_reads(root)
    assert set(open_data("chexpert", None, root, "all").column("split")) == {"train", "valid"}
    there = open_data("chexpert", None, root)
    assert set(there.column("split")) == {"valid"}
    assert there.notes[0] == "no test split on disk: using the valid split instead"
    with pytest.raises(ManifestError, match=r"the test split .* groundtruth.csv with images in test/"):
        open_data("chexpert", None, root, "test")


def test_parts_in_sibling_folders_are_combined(tmp_path: Path) -> None:
    """The folder above holds the images of the test set, its reads, and elsewhere train and valid."""
    chexlocalize(tmp_path)
    chexpert_reads(tmp_path / "cheXpert-test-set-labels")
    chexpert(tmp_path)
    manifest = open_data("chexpert", None, tmp_path, "test")
    reads = {name.split(":")[1] for name in map(str, manifest.frame) if name.startswith("reader:")}
    assert reads == {"bc4", "bc6", "bc8"}
    assert set(open_data("chexpert", None, tmp_path, "train").column("split")) == {"train"}
