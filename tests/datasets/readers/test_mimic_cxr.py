"""MIMIC-CXR-JPG from its folders: splits, labels of studies, views, reports."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from layouts import MIMIC_IMAGES, REPORT, mimic, write_table

from tier_cli.datasets.opening import open_data, read_dataset
from tier_cli.errors import ManifestError, UsageError
from tier_cli.findings.load import builtin

NAN = np.nan


def _label(manifest, name: str) -> list[float]:
    findings = builtin("chexpert14")
    return list(manifest.labels(findings)[:, findings.ids.index(name)])


@pytest.mark.parametrize("kind", [".csv.gz", ".csv"])
@pytest.mark.parametrize("inside", ["", "2.0.0", "physionet.org/files/mimic-cxr-jpg/2.1.0"])
def test_every_split_wherever_the_download_put_the_tables(tmp_path: Path, kind: str, inside: str) -> None:
    mimic(tmp_path / inside, kind)
    manifest = read_dataset("mimic-cxr", tmp_path, None)
    assert all(Path(path).is_file() for path in manifest.paths)
    # The table says `validate`.
    assert list(manifest.column("split")) == ["train", "train", "valid", "test", "test"]
    assert list(manifest.column("patient")) == [image[2] for image in MIMIC_IMAGES]
    assert list(manifest.column("study")) == [image[1] for image in MIMIC_IMAGES]


def test_views_and_what_the_view_code_tells_where_they_are_blank(tmp_path: Path) -> None:
    manifest = read_dataset("mimic-cxr", mimic(tmp_path), None)
    assert list(manifest.column("view")) == ["PA", "LATERAL", "AP", "AP", ""]
    assert any(note.startswith("images without a view: 1 of 5") for note in manifest.notes)


def test_a_study_without_a_row_of_labels_is_blank_and_uncertain_stays(tmp_path: Path) -> None:
    manifest = read_dataset("mimic-cxr", mimic(tmp_path, labeled=False), None)
    np.testing.assert_array_equal(_label(manifest, "pneumonia"), [-1, -1, NAN, NAN, NAN])
    np.testing.assert_array_equal(_label(manifest, "lung_opacity"), [NAN, NAN, NAN, 0, NAN])
    assert any("by a program: mimic-cxr-2.0.0-chexpert.csv.gz" in note for note in manifest.notes)


def test_test_labels_are_the_radiologists_under_their_own_names(tmp_path: Path) -> None:
    mimic(tmp_path)
    for split, rows in ((None, [3, 4]), ("test", [0, 1])):
        manifest = read_dataset("mimic-cxr", tmp_path, split)
        # Airspace Opacity is Lung Opacity; a study that they did not read is blank.
        np.testing.assert_array_equal(np.array(_label(manifest, "lung_opacity"))[rows], [1, NAN])
        np.testing.assert_array_equal(np.array(_label(manifest, "edema"))[rows], [0, NAN])
        assert any("by radiologists for 1 studies" in note for note in manifest.notes)
    # They did not judge No Finding; the labeler's word must not stand in for theirs.
    assert np.isnan(_label(read_dataset("mimic-cxr", tmp_path, None), "no_finding")[3:]).all()


def test_negbio_labels_are_read_if_chexpert_labels_are_missing(tmp_path: Path) -> None:
    mimic(tmp_path, labeled=False)
    (tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz").rename(tmp_path / "mimic-cxr-2.0.0-negbio.csv.gz")
    assert _label(read_dataset("mimic-cxr", tmp_path, "train"), "edema") == [1, 1]
    (tmp_path / "mimic-cxr-2.0.0-negbio.csv.gz").unlink()
    manifest = read_dataset("mimic-cxr", tmp_path, "train")
    assert manifest.label_columns(builtin("chexpert14")) == {}
    assert any(note.startswith("no labels") for note in manifest.notes)


@pytest.mark.parametrize("reports", ["beside", "inside"])
def test_texts_are_the_wanted_part_of_each_study_s_report(tmp_path: Path, reports: str) -> None:
    root = mimic(tmp_path, reports=reports)
    manifest = open_data("mimic-cxr", None, root, "all", "impression")
    first = "Study 50000001 of."
    assert list(manifest.column("text")) == [first, first, "Study 50000002 of.", "Study 50000003 of.", ""]
    assert any("3 studies, 1 without text" in note for note in manifest.notes)
    both = read_dataset("mimic-cxr", root, "valid", "both")
    assert list(both.column("text")) == ["Heart 50000002. Study 50000002 of."]
    assert set(read_dataset("mimic-cxr", root, "valid").column("text")) == {""}


def test_texts_from_the_archive_as_downloaded(tmp_path: Path) -> None:
    mimic(tmp_path, reports="none")
    with ZipFile(tmp_path / "mimic-cxr-reports.zip", "w") as archive:
        archive.writestr("files/p10/p10000032/s50000001.txt", REPORT.format("x"))
    manifest = read_dataset("mimic-cxr", tmp_path, "train", "findings")
    assert list(manifest.column("text")) == ["Heart x."] * 2


def test_texts_from_the_sectioned_table(tmp_path: Path) -> None:
    mimic(tmp_path, reports="none")
    write_table(
        tmp_path / "mimic_cxr_sectioned.csv",
        ["study", "impression", "findings", "last_paragraph", "comparison"],
        [["s50000001", "No ___ change.", "", "", ""], ["s50000003", "", "", "All\nclear.", ""]],
    )
    manifest = read_dataset("mimic-cxr", tmp_path, None, "impression")
    assert list(manifest.column("text")) == ["No change.", "No change.", "", "All clear.", ""]


def test_missing_reports_are_an_error_not_blanks(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"reports are missing.*mimic-cxr-reports\.zip"):
        read_dataset("mimic-cxr", mimic(tmp_path, reports="none"), "train", "impression")


def test_png_copies_and_copies_without_the_folder_files(tmp_path: Path) -> None:
    mimic(tmp_path)
    for path in list((tmp_path / "files").rglob("*.jpg")):
        path.rename(path.with_suffix(".png"))
    for folder in list((tmp_path / "files").iterdir()):
        folder.rename(tmp_path / folder.name)
    assert all(Path(path).is_file() for path in read_dataset("mimic-cxr", tmp_path, None).paths)


def test_wrong_roots_splits_and_parts_of_reports_are_refused(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    with pytest.raises(ManifestError, match=r"looked for mimic-cxr-2\.0\.0-split\.csv\.gz, found files/"):
        read_dataset("mimic-cxr", tmp_path, "test")
    with pytest.raises(UsageError, match="use train, valid, test"):
        read_dataset("mimic-cxr", tmp_path, "holdout")
    with pytest.raises(UsageError, match="use impression, findings, both"):
        read_dataset("mimic-cxr", tmp_path, "test", "conclusion")


def test_an_incomplete_download_is_reported(tmp_path: Path) -> None:
    table = mimic(tmp_path) / "mimic-cxr-2.0.0-split.csv.gz"
    table.write_bytes(table.read_bytes()[:-20])
    with pytest.raises(ManifestError, match=r"split\.csv\.gz: cannot be read as a table"):
        read_dataset("mimic-cxr", tmp_path, None)
    plain = mimic(tmp_path / "plain", ".csv") / "mimic-cxr-2.0.0-split.csv"
    plain.write_text(plain.read_text()[:-12])
    with pytest.raises(ManifestError, match="line 6 has 3 cells, the header has 4"):
        read_dataset("mimic-cxr", tmp_path / "plain", None)


def test_sex_and_age_from_the_patients_of_mimic_iv(tmp_path: Path) -> None:
    mimic(tmp_path)
    assert set(read_dataset("mimic-cxr", tmp_path, None).column("age")) == {""}
    write_table(
        tmp_path / "hosp" / "patients.csv.gz",
        ["subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"],
        [["10000032", "F", "52", "2180", "2014 - 2016", ""], ["12000034", "M", "", "2150", "", ""]],
    )
    manifest = read_dataset("mimic-cxr", tmp_path, None)
    assert list(manifest.column("sex")) == ["F", "F", "", "M", "M"]
    # The images were taken in the year 2182 of the shifted calendar.
    assert list(manifest.column("age")) == ["54", "54", "", "", ""]


def test_patients_of_ms_cxr_are_not_trained_on(tmp_path: Path) -> None:
    mimic(tmp_path)
    places = ["files/p10/p10000032/s50000001/aa-1.jpg", "files/p12/p12000034/s50000003/cc-1.jpg"]
    write_table(tmp_path / "MS_CXR_Local_Alignment_v1.1.0.csv", ["path"], [[place] for place in places])
    manifest = read_dataset("mimic-cxr", tmp_path, None)
    # The patient of a test image stays: it is training that must not see them.
    assert list(manifest.column("split")) == ["valid", "test", "test"]
    assert any("left out: 2" in note for note in manifest.notes)


def test_physionets_tree_keeps_reports_and_images_in_two_projects(tmp_path: Path) -> None:
    images = mimic(tmp_path / "mimic-cxr-jpg" / "2.1.0", reports="none")
    reports = tmp_path / "mimic-cxr" / "2.0.0"
    for text in mimic(tmp_path / "elsewhere").rglob("*.txt"):
        target = reports / text.relative_to(tmp_path / "elsewhere")
        target.parent.mkdir(parents=True, exist_ok=True)
        text.rename(target)
    manifest = open_data("mimic-cxr", None, tmp_path, "train", "impression")
    assert all(path.startswith(str(images)) for path in manifest.paths)
    assert any(manifest.column("text"))
