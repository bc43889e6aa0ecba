"""Measure how time and memory of `tier classify` grow. Run: python benchmarks/growth.py [--only AXIS]

Three axes: the number of files (small PNG files, hard links to ten pictures, scored by the tests' tiny
checkpoint, so that many can be read), the number of findings (with prompts that are new to the checkpoint,
and once more when their vectors are in the cache), and the side of the images (uncompressed DICOM files of 12
bits). Seconds are CPU seconds of the command and its processes. Memory is the highest resident size that
Linux recorded for each process (VmHWM in /proc), summed over the command and its decoding processes, so the
program runs only there.

The exponent is that of the last step: 1 means as much more time as there are more files (or pixels), 0 means
no more. The exit code is 1 if memory grew with the number of files by more than 5 %.

    python benchmarks/growth.py --json rows.json
    python benchmarks/growth.py --draw rows.json --plot growth.png
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mutations import ENCODERS, drawn_chest
from PIL import Image
from processes import TIER, cpu_of_children

FILES, FINDINGS, SIDES = "files", "findings", "side in px"
CACHED = "findings, cached"
TITLES = {
    FILES: "files (128 px, tiny model)",
    FINDINGS: "findings ({} images, tier-small)",
    SIDES: "side in pixels ({} images, tier-small)",
}
SUPPORT = Path(__file__).parents[1] / "tests" / "support"
# A file of ext4 can have 65,000 links.
_PICTURES, _PER_FOLDER = 10, 1_000
_EVERY = 0.1
_FLAT = 0.05


@dataclass(frozen=True)
class Row:
    """One measurement: what was varied, CPU and wall-clock seconds, and peak memory in MiB."""

    axis: str
    value: int
    images: int
    cpu: float
    seconds: float
    command: float
    decoding: float

    @property
    def memory(self) -> float:
        """Return the sum of all processes."""
        return self.command + self.decoding


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
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=(FILES, FINDINGS, "sides"))
    parser.add_argument("--files", type=int, nargs="+", default=[10, 100, 1_000, 20_000])
    parser.add_argument("--findings", type=int, nargs="+", default=[5, 50, 500])
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1_024, 2_048, 4_096])
    parser.add_argument("--images", type=int, default=48, help="images for findings and sides")
    parser.add_argument("--model", help="checkpoint for all axes; the tiny one for files, else tier-small")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--side", type=int, default=128, help="side of the pictures, for files")
    parser.add_argument("--json", type=Path, help="also write the rows to this file, as they come")
    parser.add_argument("--draw", type=Path, help="measure nothing; take the rows of this file")
    parser.add_argument("--plot", type=Path, help="draw the rows into this PNG file")
    given = parser.parse_args()
    rows = [Row(**row) for row in json.loads(given.draw.read_text("utf-8"))] if given.draw else []
    _say(
        f"{'':<18}{'':>8}{'images':>8}{'CPU s':>9}{'wall s':>9}{'CPU ms/image':>14}"
        f"{'command':>10}{'decoding':>10}{'exponent':>10}"
    )
    for number, row in enumerate(rows):
        _show(row, rows[:number])
    for row in () if given.draw else measurements(given):
        _show(row, rows)
        rows.append(row)
        if given.json:
            given.json.write_text(json.dumps([asdict(one) for one in rows], indent=1) + "\n", "utf-8")
    if given.plot:
        plot(rows, given.plot)
    memory = [row.memory for row in rows if row.axis == FILES]
    raise SystemExit(int(any(one > memory[0] * (1 + _FLAT) for one in memory)))


def measurements(given: argparse.Namespace) -> Iterator[Row]:
    """Yield the rows of the axes."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        if given.only in (None, FILES):
            model = given.model or str(_tiny(folder / "tiny"))
            for count in given.files:
                pictures(folder / f"files-{count}", count, given.side)
                yield _run(FILES, count, count, folder / f"files-{count}", ["--model", model], given.workers)
        model = given.model or "tier-small"
        if given.only in (None, FINDINGS):
            pictures(folder / "images", given.images, 256)
            for count in given.findings:
                options = ["--model", model, "--findings", str(_findings(folder / f"{count}.toml", count))]
                for axis in (FINDINGS, CACHED):
                    yield _run(axis, count, given.images, folder / "images", options, given.workers)
        if given.only in (None, "sides"):
            for side in given.sides:
                _files_of_side(folder / f"side-{side}", given.images, side)
                yield _run(
                    SIDES, side, given.images, folder / f"side-{side}", ["--model", model], given.workers
                )


def _show(row: Row, before: list[Row]) -> None:
    same = [one for one in before if one.axis == row.axis]
    said = f"{exponent([*same, row]):>10.2f}" if same else ""
    _say(
        f"{row.axis:<18}{row.value:>8,}{row.images:>8,}{row.cpu:>9.1f}{row.seconds:>9.1f}"
        f"{1000 * row.cpu / row.images:>14.1f}{row.command:>6.0f} MiB{row.decoding:>6.0f} MiB{said}"
    )


def exponent(rows: list[Row]) -> float:
    """Return the exponent of CPU seconds from the row before the last to the last; of sides, by pixels."""
    (less, few), (more, many) = ((row.cpu, row.value) for row in rows[-2:])
    return math.log(more / less) / math.log(many / few) / (2 if rows[-1].axis == SIDES else 1)


def _run(axis: str, value: int, images: int, folder: Path, options: list[str], workers: int) -> Row:
    scores = folder.with_name("scores.csv")
    scores.unlink(missing_ok=True)
    # A cache of its own, which the first run fills and the second finds.
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder.with_name("cache"))}
    command = ["classify", str(folder), "--output", str(scores), *options]
    # The check runs the model again on pictures that surprise it, as drawn ones do.
    command += ["--workers", str(workers), "--device", "cpu", "--input-check", "off", "--quiet"]
    began, before = time.perf_counter(), cpu_of_children()
    process = subprocess.Popen([sys.executable, "-c", TIER, *command], env=environment)
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
    decoding = sum(peaks.children.values()) / 1024
    seconds, cpu = time.perf_counter() - began, cpu_of_children() - before
    return Row(axis, value, images, cpu, seconds, peaks.command / 1024, decoding)


def plot(rows: list[Row], path: Path) -> None:
    """Draw CPU seconds above and memory below, one column per axis."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(11, 5.6), sharex="col", layout="constrained")
    for column, axis in enumerate((FILES, FINDINGS, SIDES)):
        _plot_axis(rows, axis, axes[0][column], axes[1][column])
    axes[0][0].set_ylabel("CPU seconds")
    axes[1][0].set_ylabel("peak memory of all processes, MiB")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _plot_axis(rows: list[Row], axis: str, above: Any, below: Any) -> None:
    """Draw one column."""
    for name, style in ((axis, "o-"), *(((CACHED, "s--"),) if axis == FINDINGS else ())):
        those = [row for row in rows if row.axis == name]
        label = {FINDINGS: "new prompts", CACHED: "their vectors in the cache"}.get(name, "measured")
        above.plot([row.value for row in those], [row.cpu for row in those], style, label=label)
        below.plot([row.value for row in those], [row.memory for row in those], style, label=label)
    those = [row for row in rows if row.axis == axis]
    if axis != FINDINGS and len(those) > 1:
        last, power = those[-1], 1 if axis == FILES else 2
        line = [last.cpu * (row.value / last.value) ** power for row in those]
        label = "as the files" if axis == FILES else "as the pixels"
        above.plot([row.value for row in those], line, color="0.6", ls=":", label=label)
    for each in (above, below):
        each.set_xscale("log")
        each.grid(color="0.9")
        each.set_axisbelow(True)
        for side in ("top", "right"):
            each.spines[side].set_visible(False)
    if axis == FINDINGS:
        above.set_ylim(0, 1.15 * above.dataLim.ymax)
    else:
        above.set_yscale("log")
    below.set_ylim(0, 1.15 * below.dataLim.ymax)
    above.legend(frameon=False)
    values = [row.value for row in those]
    below.set_xticks(values, [f"{value:,}" for value in values])
    below.minorticks_off()
    below.set_xlabel(TITLES[axis].format(those[0].images if those else ""))


def pictures(folder: Path, count: int, side: int) -> None:
    """Write PNG files, ten of them different, 1,000 to a folder."""
    random = np.random.default_rng(0)
    made = []
    folder.mkdir()
    for number in range(min(count, _PICTURES)):
        made.append(folder / f"{number}.png")
        Image.fromarray(drawn_chest(side, random)).save(made[-1])
    for number in range(len(made), count):
        inside = folder / f"{number // _PER_FOLDER:03}"
        inside.mkdir(exist_ok=True)
        os.link(made[number % len(made)], inside / f"{number}.png")


def _files_of_side(folder: Path, count: int, side: int) -> None:
    random = np.random.default_rng(0)
    folder.mkdir()
    for number in range(min(count, 2)):
        content = ENCODERS["DICOM, 12 bits"](drawn_chest(side, random), random)
        (folder / f"{number}.dcm").write_bytes(content)
    for number in range(2, count):
        os.link(folder / f"{number % 2}.dcm", folder / f"{number}.dcm")


def _findings(path: Path, count: int) -> Path:
    """Write a set of findings, each with two prompts of its own."""
    lines = ['name = "many"']
    for number in range(count):
        lines += [f"[findings.f{number}]", f'label = "Finding {number}"']
        lines += [f'positive = ["There is finding {number} in the right lung."]']
        lines += [f'negative = ["There is no finding {number} in the lungs."]']
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _tiny(folder: Path) -> Path:
    """Write the tests' checkpoint with random weights, which costs next to nothing per image."""
    sys.path.insert(0, str(SUPPORT))
    from tiny import tiny_checkpoint

    made: Any = tiny_checkpoint(folder)
    return Path(made)


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


def _say(line: str) -> None:
    sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
