"""Measure how long `tier` takes to start, beside its essential imports. Run: python benchmarks/startup.py

Every command runs once in each round, so that a busy machine slows all of them equally. The table gives the
smallest CPU time (user and system, of all threads), the smallest wall time, and ratios of CPU time. A first
round, which is not counted, leaves compiled modules and files in the caches that a user's second run finds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from processes import TIER, cpu_of_children

from tier_cli.phantom.folder import write_folder


class Cost(NamedTuple):
    """Seconds that a command took."""

    cpu: float
    wall: float


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tier-small")
    parser.add_argument("--image", help="score this image instead of the generated DICOM and PNG files")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = {"IMAGE": given.image} if given.image else _images(Path(folder))
        least = _measure(_commands(given.model, images), given.rounds)
    bases = [name for name in ("import typer", "import torch") if name in least]
    heads = "".join(f"{'/ ' + base:>16}" for base in bases)
    sys.stdout.write(f"{'':<30}{'CPU s':>8}{'wall s':>8}{heads}\n")
    for name, cost in least.items():
        ratios = "".join(f"{cost.cpu / least[base].cpu:16.2f}" for base in bases)
        sys.stdout.write(f"{name:<30}{cost.cpu:8.3f}{cost.wall:8.3f}{ratios}\n")


def _commands(model: str, images: dict[str, str]) -> dict[str, list[str]]:
    scored = {
        f"tier classify {name}": [TIER, "classify", image, "--model", model, "--device", "cpu"]
        for name, image in images.items()
    }
    commands = {
        "python": ["pass"],
        "import typer": ["import typer"],
        "tier --help": [TIER, "--help"],
        "tier classify --help": [TIER, "classify", "--help"],
        "tier classify (usage error)": [TIER, "classify"],
        "tier classify X --nope": [TIER, "classify", "x", "--nope"],
        "import numpy": ["import numpy"],
        "import onnxruntime": ["import onnxruntime"],
        "import pydicom": ["import pydicom"],
        **scored,
    }
    if find_spec("torch") is not None:
        commands["import torch"] = ["import torch"]
        commands |= {f"{name} (torch)": [*words, "--engine", "torch"] for name, words in scored.items()}
    return commands


def _measure(commands: dict[str, list[str]], rounds: int) -> dict[str, Cost]:
    least = dict.fromkeys(commands, Cost(float("inf"), float("inf")))
    # As an installed package, whose modules are compiled once.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for number in range(rounds + 1):
        for name, arguments in commands.items():
            before, start = cpu_of_children(), time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", *arguments], capture_output=True, check=False, env=environment
            )
            cost = Cost(cpu_of_children() - before, time.perf_counter() - start)
            if done.returncode not in (0, 2):
                raise SystemExit(done.stderr.decode())
            if number:
                least[name] = Cost(*map(min, least[name], cost))
    return least


def _images(folder: Path) -> dict[str, str]:
    """Draw one synthetic chest of 1,024 px, as uncompressed DICOM of 12 bits and as PNG of 8 bits."""
    write_folder(folder / "dicom", 1, 0, kind="dicom", size=1024)
    write_folder(folder / "png", 1, 0, kind="png", size=1024)
    return {
        "DICOM": str(next((folder / "dicom" / "images").iterdir())),
        "PNG": str(next((folder / "png" / "images").iterdir())),
    }


if __name__ == "__main__":
    main()
