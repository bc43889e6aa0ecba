"""Broken inputs are used or refused with a reason, and destroyed images are seldom scored."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]


def run(program: str, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / program), *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("cases", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_no_broken_input_is_a_fault(cases: int) -> None:
    code, said = run("fuzz.py", "--cases", str(cases))
    assert code == 0, said
    assert f"{cases} cases" in said


@pytest.mark.slow
def test_of_destroyed_images_few_are_scored_and_of_whole_ones_none_is_refused(tmp_path: Path) -> None:
    y, x = np.mgrid[0:256, 0:256] / 256 - 0.5
    for number in range(12):
        rng = np.random.default_rng(number)
        lungs = sum(np.exp(-((x - c) ** 2 / 0.02 + y**2 / 0.08)) for c in (-0.2, 0.24))
        grey = 200 - 150 * lungs - 60 * np.abs(x) + rng.normal(0, 3, x.shape)
        Image.fromarray(grey.clip(1, 254).astype(np.uint8)).save(tmp_path / f"{number}.png")
    code, said = run("damage.py", str(tmp_path), "--intact", "36", "--destroyed", "100")
    assert code == 0, said
    assert "36 intact files: 0 refused" in said
    found = re.search(r"(\d+) of them scored", said)
    assert found
    # Drawn chests repeat themselves more than real ones, so that a row out of place is harder to see.
    assert int(found[1]) <= 10
