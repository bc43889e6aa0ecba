"""The commands of docs/how-to/long-runs.md do what the page says."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from xrays import write_dicom, write_png

from tier_cli.app import main
from tier_cli.pipeline.journaled import LASTING
from tier_cli.results.journal import _SYNC_LINES, _SYNC_SECONDS

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "long-runs.md").read_text("utf-8")


def test_the_commands_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "archive").mkdir()
    for number in range(2):
        write_dicom(tmp_path / "archive" / f"{number}.dcm", number, f"1.{number}")
        write_png(tmp_path / "archive" / f"{number}.png", number)
    commands = [shlex.split(line.split("#")[0])[2:] for line in re.findall(r"^\$ .*$", PAGE, re.M)]
    assert len(commands) == 8
    first = b""
    for command in commands:
        assert main(command) == 0, command
        first = first or (tmp_path / "scores.csv").read_bytes()
    # The last command joins the parts.
    assert commands[-1][0] == "merge"
    assert (tmp_path / "scores.csv").read_bytes() == first
    assert {"night.journal", "part1.csv.journal", "scores.parquet"} <= set(os.listdir())
    assert "scores.csv.journal" not in os.listdir()


def test_the_figures_of_the_page() -> None:
    assert f"every {_SYNC_SECONDS:.0f} seconds or {_SYNC_LINES:,} lines" in PAGE
    assert {"view", "modality"} <= LASTING
