"""Tables of public data sets: what is tolerated, and what is an error."""

from __future__ import annotations

from pathlib import Path

import pytest
from layouts import write_table

from tier_cli.datasets.build import build_manifest, missing_notes
from tier_cli.datasets.download import find_table
from tier_cli.datasets.tables import read_table
from tier_cli.errors import ManifestError


def _write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_columns_by_name_stripped_with_blanks_kept(tmp_path: Path) -> None:
    table = _write(tmp_path / "t.csv", "\ufeff,ImageId, EncodedPixels \r\n0,a, -1\r\n\r\n1,NA,\r\n")
    frame = read_table(table, [" EncodedPixels".strip(), "ImageId"], ["absent"])
    assert list(frame.columns) == ["EncodedPixels", "ImageId"]
    # "NA" is a name here, and a blank cell is blank: neither becomes NaN.
    assert frame.to_numpy().tolist() == [["-1", "a"], ["", "NA"]]


def test_plain_is_taken_before_gzipped(tmp_path: Path) -> None:
    assert find_table(tmp_path, "t.csv") is None
    zipped = write_table(tmp_path / "t.csv.gz", ["a"], [["1"]])
    assert find_table(tmp_path, "s.csv", "t.csv") == zipped
    plain = write_table(tmp_path / "t.csv", ["a"], [["1"]])
    assert find_table(tmp_path, "t.csv.gz") == plain
    assert read_table(zipped, ["a"])["a"].tolist() == ["1"]


def test_blanks_beyond_the_header_and_columns_without_a_name(tmp_path: Path) -> None:
    table = _write(tmp_path / "t.csv", "Image Index,Box [x,y],,\na.png,1,2,,,,\nb.png,3,4\n")
    assert read_table(table, ["Image Index", "y]"])["y]"].tolist() == ["2", "4"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the table is empty"),
        ("a,b\n1,2\n3", "line 3 has 1 cells, the header has 2"),
        ("a,b\n1,2,3\n", "line 2 has 3 cells, the header has 2"),
        ("b,c\n1,2\n", "no column 'a'; the columns are b, c"),
        ('a,b\n"1,2\n', "line 2 has 1 cells"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ManifestError, match="t.csv: " + told):
        read_table(_write(tmp_path / "t.csv", text), ["a"])


@pytest.mark.parametrize("data", [b"\x1f\x8b\x08broken", b"no gzip"])
def test_a_file_that_is_not_gzip_is_reported(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.csv.gz").write_bytes(data)
    with pytest.raises(ManifestError, match=r"t\.csv\.gz: cannot be read as a table"):
        read_table(tmp_path / "t.csv.gz", ["a"])


def test_absent_images_are_counted_and_the_first_few_named(tmp_path: Path) -> None:
    (tmp_path / "0.png").touch()
    paths = [str(tmp_path / f"{number}.png") for number in range(6)]
    assert missing_notes(paths, tmp_path) == ["5 of 6 images are not on disk: 1.png, 2.png, 3.png ..."]
    assert missing_notes(paths[:1], tmp_path) == []
    manifest = build_manifest({"path": paths, "split": ["test"] * 6}, "t.csv", tmp_path, ["a note"])
    assert len(manifest) == 6
    assert manifest.notes[0] == "a note"
