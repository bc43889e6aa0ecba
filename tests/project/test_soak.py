"""Disturbed at random, `tier classify --resume` ends with the output of a quiet run; growth is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into Linux's /proc")


def run(program: str, *arguments: object) -> tuple[int, str, str]:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / program), *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("files", "minutes", "every"), [(30, 0.1, 1), pytest.param(300, 3, 5, marks=pytest.mark.slow)]
)
def test_whatever_interrupts_a_run_its_output_is_the_same(
    tmp_path: Path, files: int, minutes: float, every: float
) -> None:
    """Nobody can trust a file that depends on how often its run was killed."""
    options = ("--files", files, "--minutes", minutes, "--every", every, "--timeout-per-file", 10)
    code, out, err = run("soak.py", *options, "--folder", tmp_path / "soak")
    assert code == 0, err
    done = json.loads(out)
    assert (done["identical"], done["files"]) == (True, files)
    assert done["runs"] >= done["rounds"] >= 1
    if files > 100:
        assert len(done["disturbances"]) >= 4


def test_the_files_whose_memory_is_measured_are_scored(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    # The bundled checkpoint: making the tiny one, the program's default, would import torch.
    options = ("--only", "files", "--files", 12, "--workers", 1, "--model", "tier-small")
    code, _, err = run("growth.py", *options, "--json", rows)
    assert code == 0, err
    (row,) = json.loads(rows.read_text("utf-8"))
    assert (row["axis"], row["images"]) == ("files", 12)
