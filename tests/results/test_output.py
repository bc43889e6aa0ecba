"""The output file appears whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tier_cli.errors import UsageError
from tier_cli.results.output import OutputFile
from tier_cli.results.record import Result
from tier_cli.results.rows import Layout

LAYOUT = Layout(("effusion", "hernia"))


def _write_and_raise(path: Path, result: Result, error: BaseException) -> None:
    with OutputFile(str(path)).writer(LAYOUT) as writer:
        writer.write(result)
        raise error


def test_appears_only_when_complete(tmp_path: Path, scored: Result) -> None:
    path = tmp_path / "x.csv"
    path.write_text("before")
    with OutputFile(str(path)).writer(LAYOUT) as writer:
        writer.write(scored)
        assert path.read_text() == "before"
    assert path.read_text().count("\n") == 3
    assert os.listdir(tmp_path) == ["x.csv"]


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "parquet"])
def test_failure_leaves_the_previous_file(tmp_path: Path, scored: Result, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    path.write_text("before")
    with pytest.raises(RuntimeError):
        _write_and_raise(path, scored, RuntimeError())
    assert path.read_text() == "before"
    assert sorted(os.listdir(tmp_path)) == [path.name, f"{path.name}.partial"]


def test_failure_keeps_finished_results_in_the_partial_file(tmp_path: Path, scored: Result) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(RuntimeError):
        _write_and_raise(path, scored, RuntimeError())
    assert json.loads((tmp_path / "x.json.partial").read_text()) == [scored.to_dict()]


def test_failure_before_any_result_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), OutputFile(str(tmp_path / "x.parquet")).writer(LAYOUT):
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_interruption_keeps_finished_results(tmp_path: Path, scored: Result) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(KeyboardInterrupt):
        _write_and_raise(path, scored, KeyboardInterrupt())
    assert json.loads(path.read_text()) == [scored.to_dict()]
    assert os.listdir(tmp_path) == ["x.json"]


def test_interruption_before_any_result_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), OutputFile(str(path)).writer(LAYOUT):
        raise KeyboardInterrupt
    assert path.read_text() == "before"


def test_extension_is_case_insensitive(tmp_path: Path) -> None:
    assert OutputFile(str(tmp_path / "X.CSV")).ending == ".csv"


@pytest.mark.parametrize("name", ["x", "x.txt", "x.csv.gz"])
def test_unknown_extension_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"name that ends in \.csv"):
        OutputFile(str(tmp_path / name))


def test_wide_needs_a_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no columns"):
        OutputFile(str(tmp_path / "x.json"), wide=True)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder"):
        OutputFile(str(tmp_path / "nowhere" / "x.csv"))


def test_a_folder_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(UsageError, match="folder"):
        OutputFile(str(tmp_path / "x.csv"))


@pytest.mark.skipif(os.name == "nt", reason="links and permissions of Unix")
def test_link_and_permissions_are_kept(tmp_path: Path, scored: Result) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "x.csv"
    link.symlink_to(tmp_path / "real" / "y.csv")
    before = os.umask(0o027)
    try:
        with OutputFile(str(link)).writer(LAYOUT) as writer:
            writer.write(scored)
    finally:
        os.umask(before)
    assert link.is_symlink()
    assert (tmp_path / "real" / "y.csv").stat().st_mode & 0o777 == 0o640
