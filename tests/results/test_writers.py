"""Every format, read back with the tools that people use."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tier_cli.errors import UsageError
from tier_cli.results.output import OutputFile
from tier_cli.results.record import FindingScore, Result
from tier_cli.results.rows import Layout
from tier_cli.results.writers import JsonLinesWriter

IDS = ("effusion", "hernia")


def _write(path: Path, results: Sequence[Result], layout: Layout = Layout(IDS)) -> Path:
    with OutputFile(str(path), layout.wide).writer(layout) as writer:
        for result in results:
            writer.write(result)
    return path


def test_csv_is_tidy(tmp_path: Path, scored: Result, failed: Result) -> None:
    table = pd.read_csv(_write(tmp_path / "x.csv", [scored, failed]))
    assert list(table["finding"][:2]) == ["effusion", "hernia"]
    assert table["score"][0] == 0.123457
    assert table["call"].tolist()[1] is False
    assert table["path"].tolist() == ["in/a,b.dcm", "in/a,b.dcm", "in/b.dcm"]
    assert table["notes"][0] == "a note; another"
    assert set(table["model_findings"]) == {"c" * 64}
    assert (table["error_kind"][2], table["error_message"][2]) == ("modality", "it is a CT")
    assert pd.isna(table["finding"][2])
    assert pd.isna(table["score"][2])


def test_csv_has_the_names_of_the_json(tmp_path: Path, scored: Result) -> None:
    header = _write(tmp_path / "x.csv", []).read_text().strip().split(",")
    document = scored.to_dict()
    flat = [*document, *document["findings"][0]]
    assert set(flat) - set(header) == {"findings", "error"}
    assert header[-2:] == ["error_kind", "error_message"]


def test_many_findings_take_no_longer_each(scored: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 500 rows used to convert all 500 findings: most of the time of such a run."""
    converted: list[str] = []
    convert = FindingScore.to_dict

    def counted(self: FindingScore) -> dict[str, Any]:
        converted.append(self.finding)
        return convert(self)

    monkeypatch.setattr(FindingScore, "to_dict", counted)
    names = tuple(f"f{number}" for number in range(50))
    many = replace(scored, findings=tuple(FindingScore(name, 0.5) for name in names))
    rows = list(Layout(names).rows(many))
    assert [row[6] for row in rows] == list(names)
    assert len(converted) <= 2 * len(names)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_wide_has_one_column_per_finding(tmp_path: Path, scored: Result, failed: Result, ending: str) -> None:
    layout = Layout(IDS, wide=True)
    path = _write(tmp_path / f"x.{ending}", [scored, scored.top(1), failed], layout)
    table = pd.read_csv(path) if ending == "csv" else pd.read_parquet(path)
    np.testing.assert_array_equal(table["effusion"], [0.123457, 0.123457, np.nan])
    np.testing.assert_array_equal(table["hernia"], [-0.5, np.nan, np.nan])
    assert "score" not in table


def test_wide_refuses_a_finding_named_like_a_column() -> None:
    with pytest.raises(UsageError, match="'view'"):
        Layout(("effusion", "view"), wide=True)


def test_parquet_keeps_types(tmp_path: Path, scored: Result, failed: Result) -> None:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(_write(tmp_path / "x.parquet", [scored, failed])).to_pylist()
    assert [row["finding"] for row in table] == ["effusion", "hernia", None]
    assert [row["score"] for row in table] == [0.123457, -0.5, None]
    assert [row["call"] for row in table] == [None, False, None]
    assert table[0]["notes"] == ["a note", "another"]
    assert table[2]["error_kind"] == "modality"


def test_parquet_without_results_has_its_columns(tmp_path: Path) -> None:
    table = pd.read_parquet(_write(tmp_path / "x.parquet", []))
    assert list(table.columns) == list(Layout(IDS).columns)
    assert len(table) == 0


def test_parquet_writes_groups(tmp_path: Path, scored: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tier_cli.results.writers._GROUP_ROWS", 4)
    assert len(pd.read_parquet(_write(tmp_path / "x.parquet", [scored] * 7))) == 14


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"tier-cli\[parquet\]"):
        OutputFile(str(tmp_path / "x.parquet"))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_is_an_array(tmp_path: Path, scored: Result, count: int) -> None:
    content = json.loads(_write(tmp_path / "x.json", [scored] * count).read_text())
    assert content == [scored.to_dict()] * count


def test_json_lines(tmp_path: Path, scored: Result, failed: Result) -> None:
    lines = _write(tmp_path / "x.jsonl", [scored, failed]).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [scored.to_dict(), failed.to_dict()]


def test_json_lines_go_out_at_once(scored: Result) -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    JsonLinesWriter(file).write(scored)
    assert json.loads(raw.getvalue()) == scored.to_dict()


def test_study_paths_survive(tmp_path: Path, scored: Result) -> None:
    study = replace(scored, unit="study", paths=("a;b", "c,d"))
    layout = Layout(IDS, unit="study")
    table = pd.read_csv(_write(tmp_path / "x.csv", [study], layout))
    assert json.loads(table["paths"][0]) == ["a;b", "c,d"]
    assert pd.read_parquet(_write(tmp_path / "x.parquet", [study], layout))["paths"][0].tolist() == [
        "a;b",
        "c,d",
    ]


def test_patient_data_has_a_column_of_its_own(tmp_path: Path, scored: Result, failed: Result) -> None:
    known = replace(scored, phi={"patient_name": "Doe^Jane"})
    table = pd.read_csv(_write(tmp_path / "x.csv", [known, failed], Layout(IDS, phi=True)))
    assert json.loads(table["phi"][0]) == {"patient_name": "Doe^Jane"}
    assert pd.isna(table["phi"][2])


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "parquet"])
def test_file_names_that_are_not_utf8(tmp_path: Path, scored: Result, ending: str) -> None:
    name = b"in/\xff\xe9.dcm".decode("utf-8", "surrogateescape")
    path = _write(tmp_path / f"x.{ending}", [replace(scored, paths=(name,))])
    expected: dict[str, Any] = {"csv": b"in/\xff\xe9.dcm", "json": rb"in/\udcff\udce9.dcm"}
    assert expected.get(ending, rb"in/\udcff\udce9.dcm") in path.read_bytes()
