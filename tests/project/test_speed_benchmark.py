"""`benchmarks/run --compare`: what counts as slower, and when two measurements cannot be compared."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("speed")


def file_of(speed: Any, folder: Path, name: str, rounds: dict[str, list[float]], **more: Any) -> str:
    said = speed.measurement({speed.REFERENCE: [1.0, 1.0, 1.0], **rounds}) | more
    (folder / name).write_text(json.dumps(said), encoding="utf-8")
    return str(folder / name)


def outcome(speed: Any, folder: Path, before: list[float], after: list[float], machine: float = 1) -> int:
    """Compare two measurements of one thing; the machine may be slower the second time."""
    old = file_of(speed, folder, "old.json", {"decode": before})
    slower = {speed.REFERENCE: [machine] * 3, "decode": after}
    new = file_of(speed, folder, "new.json", slower)
    code: int = speed.main(["--compare", old, "--new", new])
    return code


def test_what_became_slower_is_named_and_fails(
    speed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A regression that passed silently would be found by users."""
    assert outcome(speed, tmp_path, [1.0, 1.01, 1.02], [1.2, 1.21, 1.22]) == speed.SLOWER
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("decode")]
    assert line.split() == ["decode", "1.000", "s", "1.200", "s", "1.20", "5%", "slower"]


@pytest.mark.parametrize(
    ("before", "after", "machine", "code"),
    [
        ([1.0, 1.0, 1.0], [1.04, 1.04, 1.04], 1, 0),  # less than 5 %
        ([1.0, 1.0, 1.0], [0.5, 0.5, 0.5], 1, 0),  # faster
        ([1.0, 1.2, 1.3], [1.25, 1.4, 1.5], 1, 0),  # both measurements are as noisy as that
        ([1.0, 1.0, 1.0], [1.3, 1.3, 1.3], 1.3, 0),  # everything is slower, this too
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], 0.8, 3),  # as slow on a machine that became faster
    ],
)
def test_noise_and_a_slower_machine_are_no_regressions(
    speed: Any, tmp_path: Path, before: list[float], after: list[float], machine: float, code: int
) -> None:
    """A false alarm on every busy day would teach people to ignore the comparison."""
    assert outcome(speed, tmp_path, before, after, machine) == code


def test_another_machine_is_refused(speed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = {"processor": "Abacus 3", "cpus": 64, "system": "Linux"}
    old = file_of(speed, tmp_path, "old.json", {"decode": [1.0]}, machine=there)
    new = file_of(speed, tmp_path, "new.json", {"decode": [9.0]})
    assert speed.main(["--compare", old, "--new", new]) == speed.OTHER_MACHINE
    assert "processor Abacus 3 -> " in capsys.readouterr().out


def test_other_versions_are_listed_but_compared(
    speed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slower release of a package is a regression too; its name says where to look."""
    old = file_of(speed, tmp_path, "old.json", {"decode": [1.0]}, versions={"numpy": "1.0"})
    new = file_of(speed, tmp_path, "new.json", {"decode": [9.0]}, versions={"numpy": "3.0"})
    assert speed.main(["--compare", old, "--new", new]) == speed.SLOWER
    assert "numpy 1.0 -> 3.0\n" in capsys.readouterr().out


def test_a_measurement_is_written_with_what_it_was_measured_on(speed: Any, tmp_path: Path) -> None:
    """The program itself: what the README of the benchmarks says works."""
    command = [sys.executable, str(BENCHMARKS / "run"), "--rounds", "1", "--only", "import typer"]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "new.json")], capture_output=True, text=True, check=True
    )
    assert [line.rsplit(maxsplit=3)[0] for line in done.stdout.splitlines()] == [
        speed.REFERENCE,
        "import typer",
    ]
    said = json.loads((tmp_path / "new.json").read_text(encoding="utf-8"))
    assert said["machine"] == speed.machine()
    assert said["versions"]["numpy"] == importlib.import_module("numpy").__version__
    assert said["measures"]["import typer"]["smallest"] > 0
