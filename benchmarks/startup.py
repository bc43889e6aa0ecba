"""Measure how long `tier` takes to start, beside its essential imports. Run: python benchmarks/startup.py

Times are wall-clock, the best of several rounds. Every command runs once in each round, so that a busy
machine slows all of them equally.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

TIER = "import sys; from tier_cli.app import main; sys.exit(main(sys.argv[1:]))"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tier-small")
    parser.add_argument("--image", help="an image to score; a generated PNG by default")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image = given.image or _picture(Path(folder) / "image.png")
        best = _measure(_commands(given.model, image), given.rounds)
    base = best["import typer"]
    for name, seconds in best.items():
        sys.stdout.write(f"{name:<34}{seconds:8.3f} s {seconds / base:7.2f} x import typer\n")


def _commands(model: str, image: str) -> dict[str, list[str]]:
    score = [TIER, "classify", image, "--model", model, "--device", "cpu"]
    return {
        "import typer": ["import typer"],
        "tier --help": [TIER, "--help"],
        "tier classify (usage error)": [TIER, "classify"],
        "tier classify X --nope": [TIER, "classify", "x", "--nope"],
        "import numpy": ["import numpy"],
        "import onnxruntime": ["import onnxruntime"],
        "tier classify IMAGE (onnx)": score,
        "import torch": ["import torch"],
        "tier classify IMAGE (torch)": [*score, "--engine", "torch"],
    }


def _measure(commands: dict[str, list[str]], rounds: int) -> dict[str, float]:
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(rounds):
        for name, arguments in commands.items():
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", *arguments], capture_output=True, check=False)
            best[name] = min(best[name], time.perf_counter() - start)
            if done.returncode not in (0, 2):
                raise SystemExit(done.stderr.decode())
    return best


def _picture(path: Path) -> str:
    grey = np.random.default_rng(0).normal(128, 40, (1024, 1024)).clip(0, 255).astype(np.uint8)
    Image.fromarray(grey).save(path)
    return str(path)


if __name__ == "__main__":
    main()
