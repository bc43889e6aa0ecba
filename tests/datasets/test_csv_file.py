"""A user's CSV file is read however a spreadsheet or a program wrote it, or refused with one reason."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tier_cli.datasets.csv_file import read_rows
from tier_cli.errors import ManifestError
from tier_cli.files.csv_cells import plain_cell, safe_cell

TEXT = "path;patient\na.png;Müller\n"


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: ("\ufeff" + text).encode("utf-16-be"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: ("sep=;\n" + text).encode("utf-8-sig"),
        lambda text: (text + "\n  \n;\n").encode(),
        lambda text: text.replace("a.png", ' "a.png"'.strip()).encode(),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_files_as_programs_write_them(tmp_path: Path, encode: Callable[[str], bytes], zipped: bool) -> None:
    file = tmp_path / ("m.csv.gz" if zipped else "m.csv")
    content = encode(TEXT)
    file.write_bytes(gzip.compress(content) if zipped else content)
    assert read_rows(file) == (["path", "patient"], [["a.png", "Müller"]])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (TEXT.encode("latin-1"), "UTF-8"),
        (b"path,x\na\x00b.png,1\n", "NUL"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"", "no rows"),
    ],
)
def test_files_that_are_no_text_have_one_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "m.csv"
    file.write_bytes(content)
    with pytest.raises(ManifestError, match=reason) as caught:
        read_rows(file)
    assert caught.value.where == str(file)
    assert "Müller" not in str(caught.value)


@pytest.mark.parametrize("cell", ['"{}"', "{}", '"{}\n{}"'])
def test_a_cell_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str) -> None:
    """A cell of 1 GB took 8 GB of memory."""
    monkeypatch.setattr("tier_cli.datasets.csv_file.LONGEST_CELL", 1000)
    monkeypatch.setattr("tier_cli.files.csv_cells._LONGEST_LINE", 2000)
    file = tmp_path / "m.csv"
    file.write_text("path,x\na.png," + cell.format("y" * 1990, "y" * 1990) + "\n")
    with pytest.raises(ManifestError, match=r"is not CSV \(field larger|a line of more than"):
        read_rows(file)


@pytest.mark.parametrize(
    "text", ["=1+1", "+a", "-a.dcm", "@sum", "'=1", "''=1", "\tx", "-", "'quoted'", "", "a"]
)
def test_marks_for_spreadsheets_are_undone_exactly(text: str) -> None:
    safe = safe_cell(text)
    assert not safe.startswith(("=", "+", "-", "@", "\t"))
    assert plain_cell(safe) == text


@pytest.mark.parametrize("number", ["-1", "-0.25", "+3", "1e-3", "-inf"])
def test_numbers_stay_numbers(number: str) -> None:
    assert safe_cell(number) == number
