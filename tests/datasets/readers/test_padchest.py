"""PadChest from its folder: whole labels, the physicians' rows, the Spanish reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layouts import PADCHEST_HEADER, padchest, write_table

from tier_cli.datasets.opening import open_data, read_dataset
from tier_cli.datasets.readers.padchest import label_columns
from tier_cli.errors import ManifestError
from tier_cli.findings.load import builtin

NAN = np.nan


@pytest.mark.parametrize(("flat", "kind"), [(False, ".csv"), (True, ".csv.gz")])
def test_the_physicians_rows_are_the_test_split(tmp_path: Path, flat: bool, kind: str) -> None:
    manifest = open_data("padchest", None, padchest(tmp_path, flat, kind))
    assert all(Path(path).is_file() for path in manifest.paths)
    assert list(manifest.column("patient")) == ["pt1", "pt1", "pt2", "pt3", "pt4", "pt5"]
    assert list(manifest.column("view")) == ["PA", "L", "AP_horizontal", "PA", "PA", "PA"]
    assert list(manifest.column("age")) == ["84", "84", "", "0", "1", "1"]
    assert set(read_dataset("padchest", tmp_path, None).column("split")) == {"test", "train"}
    assert list(read_dataset("padchest", tmp_path, "train").column("study")) == ["st6"]


def test_images_in_a_folder_of_their_own(tmp_path: Path) -> None:
    padchest(tmp_path, flat=True)
    (tmp_path / "images").mkdir()
    for path in list(tmp_path.glob("*.png")):
        path.rename(tmp_path / "images" / path.name)
    assert all(Path(path).is_file() for path in read_dataset("padchest", tmp_path, None).paths)


def test_labels_are_compared_whole(tmp_path: Path) -> None:
    manifest = read_dataset("padchest", padchest(tmp_path), "test")
    findings = builtin("padchest57")
    labels = dict(zip(findings.ids, manifest.labels(findings).T, strict=True))
    # "nodule" is in the text of "pseudonodule", "mass" in "pulmonary mass": neither is the other.
    np.testing.assert_array_equal(labels["nodule"], [0, 0, 1, 0, NAN, NAN])
    np.testing.assert_array_equal(labels["pseudonodule"], [1, 1, 0, 0, NAN, NAN])
    np.testing.assert_array_equal(labels["pulmonary_mass"], [0, 0, 0, 1, NAN, NAN])
    np.testing.assert_array_equal(labels["normal"], [1, 1, 0, 0, NAN, NAN])
    np.testing.assert_array_equal(labels["copd_signs"], [0, 0, 1, 1, NAN, NAN])
    assert "images without any label, left blank: 2" in manifest.notes


def test_every_label_of_the_table_is_a_column_for_any_finding_set(tmp_path: Path) -> None:
    manifest = read_dataset("padchest", padchest(tmp_path), "test")
    assert {"COPD signs", "mass, site not said", "nodule"} <= set(manifest.frame.columns)
    nih = builtin("nih14")
    assert manifest.label_columns(nih) == {"mass": "pulmonary mass", "nodule": "nodule"}


def test_reports_are_given_whole_where_they_are_asked_for(tmp_path: Path) -> None:
    padchest(tmp_path)
    assert set(read_dataset("padchest", tmp_path, "test").column("text")) == {""}
    train = read_dataset("padchest", tmp_path, "train", "impression")
    assert list(train.column("text")) == ["sin cambi. hallazg 6."]
    assert any("Spanish" in note for note in train.notes)


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("['normal', nan]", ["normal"]),
        ("[nan]", []),
        ("[NaN, 'a', nan]", ["a"]),
        ("""['nan', "banana's nan, nan", 'a nan']""", ["a nan", "banana's nan, nan"]),
    ],
)
def test_an_absent_label_within_a_list_stops_nothing(cell: str, labels: list[str]) -> None:
    """Of 160 000 rows one such cell would stop the whole data set."""
    assert [name for name, marks in label_columns([cell], "t.csv", []).items() if marks == ["1"]] == labels


def test_a_cell_that_is_not_a_list_is_named() -> None:
    with pytest.raises(ManifestError, match=r't\.csv, column .Labels.: "__import__.*" is not a list'):
        label_columns(["['normal']", "__import__('os')"], "t.csv", [])


def test_a_renamed_table_is_found_and_a_missing_one_reported(tmp_path: Path) -> None:
    padchest(tmp_path)
    table = next(tmp_path.glob("*.csv"))
    table.rename(tmp_path / "padchest.csv")
    assert len(read_dataset("padchest", tmp_path, "test")) == 6
    (tmp_path / "padchest.csv").unlink()
    with pytest.raises(ManifestError, match=r"looked for PADCHEST_chest.*found .*1_a\.png|found 0/, 54/"):
        read_dataset("padchest", tmp_path, "test")


def test_a_table_without_physicians_has_no_test_split(tmp_path: Path) -> None:
    write_table(tmp_path / "padchest.csv", PADCHEST_HEADER, [["x"] * len(PADCHEST_HEADER)])
    with pytest.raises(ManifestError, match="the test split of PadChest is missing"):
        read_dataset("padchest", tmp_path, "test")
