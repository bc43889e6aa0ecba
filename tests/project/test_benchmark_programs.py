"""Every benchmark starts, and the page that lists them leaves none out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
PROGRAMS = sorted(path for path in BENCHMARKS.rglob("*.py") if "__main__" in path.read_text(encoding="utf-8"))
# In the environments of other programs.
ELSEWHERE = ("chexzero", "hi_ml", "medsiglip", "transformers_pipeline", "xrayvision")
# negation.py takes a file and nothing else.
HERE = [path for path in PROGRAMS if path.stem not in (*ELSEWHERE, "negation")]


def test_the_page_names_every_benchmark() -> None:
    """A benchmark that no page names is found by nobody."""
    page = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    names = [path.relative_to(BENCHMARKS).as_posix() for path in PROGRAMS]
    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", HERE, ids=[path.stem for path in HERE])
def test_every_benchmark_starts(path: Path) -> None:
    """Benchmarks run rarely, and break when what they import changes its name."""
    done = subprocess.run([sys.executable, str(path), "--help"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("usage:"), done.stderr


def test_the_script_for_a_gpu_works(tmp_path: Path) -> None:
    """A lease of ten minutes is no time to mend it: here it runs small, on a CPU."""
    parts = [word for part in ("copies", "world") for word in ("--part", part)]
    rows = _run_gpu(tmp_path / "gpu.json", parts)
    assert [row["part"] for row in rows] == ["copies"] * 4 + ["world"]
    assert not any("failed" in row or "stopped" in row for row in rows)


@pytest.mark.slow
def test_the_whole_script_for_a_gpu_works(tmp_path: Path) -> None:
    rows = _run_gpu(tmp_path / "gpu.json", [])
    assert {row["part"] for row in rows} == {"towers", "copies", "pipeline", "training", "world", "tests"}
    assert not any("failed" in row or "stopped" in row for row in rows)
    assert all(
        row["images_per_second"] > 0 for row in rows if row["part"] in ("towers", "copies", "pipeline")
    )


def _run_gpu(file: Path, parts: list[str]) -> list[dict[str, Any]]:
    command = [
        sys.executable,
        str(BENCHMARKS / "gpu.py"),
        "--device",
        "cpu",
        "--quick",
        "--output",
        str(file),
    ]
    subprocess.run([*command, *parts], check=True, capture_output=True, cwd=ROOT)
    rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["rows"]
    return rows
