"""Manifests: rows, labels, patients, and errors."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from tier_cli.datasets.csv_file import read_rows
from tier_cli.datasets.manifest import read_manifest
from tier_cli.errors import ManifestError
from tier_cli.findings.load import parse_findings

FINDINGS = parse_findings(
    """
[findings.pleural_effusion]
label = "Pleural effusion"
aliases = ["effusion"]
positive = ["pleural effusion"]
negative = ["no pleural effusion"]

[findings.pneumothorax]
label = "Pneumothorax"
positive = ["pneumothorax"]
negative = ["no pneumothorax"]

[findings.hernia]
label = "Hernia"
positive = ["hernia"]
negative = ["no hernia"]
""",
    "three",
)


def _write(folder: Path, text: str, name: str = "manifest.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_labels_keep_blank_absent_present_and_uncertain_apart(tmp_path: Path) -> None:
    table = (
        "path,Effusion,PNEUMOTHORAX,scanner\na.png,1,0,x\nb.png,-1,,x\nc.png,0.0,1.0,y\nd.png,nan,-1.0,y\n"
    )
    manifest = read_manifest(_write(tmp_path, table))
    labels = manifest.labels(FINDINGS)
    nan = np.nan
    np.testing.assert_array_equal(labels, [[1, 0, nan], [-1, nan, nan], [0, 1, nan], [nan, -1, nan]])
    assert manifest.label_columns(FINDINGS) == {
        "pleural_effusion": "Effusion",
        "pneumothorax": "PNEUMOTHORAX",
    }
    assert manifest.ignored_columns(FINDINGS) == ["scanner"]


def test_paths_start_from_the_manifest_or_the_root(tmp_path: Path) -> None:
    table = _write(tmp_path, "Path\na.png\n/data/b.png\n")
    assert read_manifest(table).paths == [str(tmp_path / "a.png"), "/data/b.png"]
    root = tmp_path / "images"
    root.mkdir()
    assert read_manifest(table, root).paths == [str(root / "a.png"), "/data/b.png"]
    with pytest.raises(ManifestError, match="--root"):
        read_manifest(table, tmp_path / "elsewhere")


def test_the_path_column_may_be_called_file(tmp_path: Path) -> None:
    manifest = read_manifest(_write(tmp_path, "patient,File\n1,a.png\n"))
    assert manifest.paths == [str(tmp_path / "a.png")]
    assert manifest.notes == ("image paths are read from the column 'File'",)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_quotes_and_byte_order_mark(tmp_path: Path, separator: str) -> None:
    rows = [["\ufeffpath", "text"], ["a.png", f'"No focal{separator} opacity."'], [], ["b.png", " é "]]
    path = _write(tmp_path, "\r\n".join(separator.join(row) for row in rows))
    assert list(read_manifest(path).column("text")) == [f"No focal{separator} opacity.", "é"]


def test_a_gzipped_table_is_read_and_a_truncated_one_reported(tmp_path: Path) -> None:
    content = gzip.compress(b"path,Mass\na.png,1\n" + b"b.png,0\n" * 200)
    (tmp_path / "scores.csv.gz").write_bytes(content)
    header, rows = read_rows(tmp_path / "scores.csv.gz")
    assert (header, len(rows)) == (["path", "Mass"], 201)
    (tmp_path / "scores.csv.gz").write_bytes(content[:-20])
    with pytest.raises(ManifestError, match="truncated or damaged"):
        read_rows(tmp_path / "scores.csv.gz")


@pytest.mark.parametrize("text", ["nan", "NaN", "___", "___ . ___", "XXXX", "-", "_"])
def test_a_text_without_content_is_blank(tmp_path: Path, text: str) -> None:
    path = _write(tmp_path, f"path,text\na.png,{text}\nb.png,No change since ___.\n")
    assert list(read_manifest(path).column("text")) == ["", "No change since ___."]


def test_patients_fall_back_to_study_then_image(tmp_path: Path) -> None:
    manifest = read_manifest(
        _write(tmp_path, "path,patient,study\na.png,7,s1\nb.png,,s2\nc.png,,s2\nd.png,,\n")
    )
    assert list(manifest.patients()) == ["7", "study:s2", "study:s2", f"image:{tmp_path / 'd.png'}"]
    assert manifest.reading_notes[0].startswith("3 of 4 images have no patient")


def test_rows_are_chosen_by_split_and_by_value(tmp_path: Path) -> None:
    table = "path,split,contradicted\na.png,train,\nb.png,test,1\nc.png,test,1.0\nd.png,Test,0\ne.png,test,\n"
    manifest = read_manifest(_write(tmp_path, table)).split("test")
    assert len(manifest) == 4
    assert [Path(path).name for path in manifest.without("contradicted", "1").paths] == ["d.png", "e.png"]
    with pytest.raises(ManifestError, match="existing splits: Test, test"):
        manifest.split("valid")
    with pytest.raises(ManifestError, match="no column 'contradict'"):
        manifest.without("contradict", "1")


def test_repeated_paths_are_reported(tmp_path: Path) -> None:
    manifest = read_manifest(_write(tmp_path, "path\na.png\nb.png\na.png\n"))
    assert manifest.repeated_paths() == [str(tmp_path / "a.png")]


def test_missing_reserved_columns_are_blank(tmp_path: Path) -> None:
    manifest = read_manifest(_write(tmp_path, "path\na.png\n"))
    assert list(manifest.column("view")) == [""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ("path,patient\n", "has no rows"),
        ("name,patient\na,1\n", "no column of image paths"),
        ("path,patient\na.png,1\nb.png\n", "line 3 has 1 cells, the header has 2"),
        ("path,patient\na.png,1,2\n", "line 2 has 3 cells"),
        ('path,text\na.png,"cut within a quo', "line 2 is not CSV"),
        ("path,view,View\na.png,PA,AP\n", "two columns are named 'view'"),
        ("path,patient\n,1\n", "row 1 has no path"),
    ],
)
def test_faults_are_reported(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest(_write(tmp_path, text))


def test_missing_and_binary_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file"):
        read_manifest(tmp_path / "absent.csv")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(ManifestError, match="UTF-8"):
        read_manifest(tmp_path / "picture.csv")


def test_cells_that_are_not_labels_are_reported(tmp_path: Path) -> None:
    manifest = read_manifest(_write(tmp_path, "path,effusion\na.png,1\nb.png,0.7\n"))
    with pytest.raises(ManifestError, match=r"column 'effusion', image .*b\.png: '0.7' is not a label"):
        manifest.labels(FINDINGS)


def test_an_error_in_a_split_names_the_image_path(tmp_path: Path) -> None:
    manifest = read_manifest(_write(tmp_path, "path,split,effusion\na.png,train,1\nb.png,test,yes\n"))
    with pytest.raises(ManifestError, match=r"image .*b\.png: 'yes' is not a label"):
        manifest.split("test").labels(FINDINGS)


def test_two_columns_for_one_finding_are_reported(tmp_path: Path) -> None:
    manifest = read_manifest(_write(tmp_path, "path,Effusion,pleural effusion\na.png,1,0\n"))
    with pytest.raises(ManifestError, match="both name the finding pleural_effusion"):
        manifest.labels(FINDINGS)


def test_the_real_label_table(shared: Path) -> None:
    table = shared / "data" / "labels.csv"
    manifest = read_manifest(table)
    with table.open(newline="", encoding="utf-8") as file:
        assert len(manifest) == sum(1 for _ in csv.DictReader(file))
    assert Path(manifest.paths[0]).is_file()
