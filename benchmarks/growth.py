"""Measure time and peak memory of `tier classify` by the number of files. Run: python benchmarks/growth.py

Memory should not grow with the number of files: the last column compares the sum of all processes with the
first row. The files are hard links to a few generated pictures, 1,000 to a folder. Memory is the highest
resident size that Linux recorded for each process (VmHWM in /proc), so the program runs only there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mutations import drawn_chest
from PIL import Image

TIER = "import sys; from tier_cli.app import main; sys.exit(main(sys.argv[1:]))"
COUNTS = (100, 1_000, 10_000, 100_000)
# A file of ext4 can have 65,000 links.
_PICTURES, _PER_FOLDER = 10, 1_000
_EVERY = 0.1
_FLAT = 0.05


@dataclass
class Peaks:
    """The highest resident size of a command and of its decoding processes, in kB by process."""

    parent: int
    children: dict[int, int] = field(default_factory=dict)
    command: int = 0

    def look(self) -> None:
        """Read the sizes as of now; Linux keeps the highest of each process."""
        self.command = max(self.command, _peak(self.parent))
        for child in _children(self.parent):
            self.children[child] = max(self.children.get(child, 0), _peak(child))


def main() -> None:
    """Measure and print a table; the exit code is 1 if memory grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=list(COUNTS), help="numbers of files")
    parser.add_argument("--model", default="tier-small")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--side", type=int, default=128, help="side of the pictures in pixels")
    given = parser.parse_args()
    sys.stdout.write(
        f"{'files':>8}{'seconds':>10}{'files/s':>9}{'command':>12}{'decoding':>12}{'growth':>9}\n"
    )
    first, grew = 0, False
    for count in given.counts:
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder) / "files", count, given.side)
            seconds, peaks = _run(Path(folder), given.model, given.workers)
        decoding = sum(peaks.children.values())
        first = first or peaks.command + decoding
        growth = (peaks.command + decoding) / first - 1
        grew = grew or growth > _FLAT
        sys.stdout.write(
            f"{count:>8,}{seconds:>10.1f}{count / seconds:>9.1f}{peaks.command / 1024:>9.0f} MiB"
            f"{decoding / 1024:>8.0f} MiB{growth:>+9.1%}\n"
        )
        sys.stdout.flush()
    raise SystemExit(int(grew))


def _run(folder: Path, model: str, workers: int) -> tuple[float, Peaks]:
    command = ["classify", str(folder / "files"), "--output", str(folder / "scores.csv"), "--model", model]
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", TIER, *command, "--workers", str(workers), "--device", "cpu", "--quiet"]
    )
    peaks, ended = Peaks(process.pid), threading.Event()

    def watch() -> None:
        while not ended.wait(_EVERY):
            peaks.look()

    thread = threading.Thread(target=watch)
    thread.start()
    code = process.wait()
    ended.set()
    thread.join()
    if code:
        raise SystemExit(f"tier ended with exit code {code}")
    return time.perf_counter() - start, peaks


def _write(folder: Path, count: int, side: int) -> None:
    random = np.random.default_rng(0)
    pictures = []
    folder.mkdir()
    for number in range(min(count, _PICTURES)):
        pictures.append(folder / f"{number}.png")
        Image.fromarray(drawn_chest(side, random)).save(pictures[-1])
    for number in range(len(pictures), count):
        inside = folder / f"{number // _PER_FOLDER:03}"
        inside.mkdir(exist_ok=True)
        os.link(pictures[number % len(pictures)], inside / f"{number}.png")


def _peak(process: int) -> int:
    """Return the highest resident size of a process in kB; 0 if it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text("ascii", "replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)


def _children(process: int) -> Iterator[int]:
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            yield from map(int, task.read_text("ascii").split())
        except OSError:
            continue


if __name__ == "__main__":
    main()
