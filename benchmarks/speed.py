"""Measure the speed of the quick parts, and compare with an earlier measurement of the same machine.

    python benchmarks/run --output NEW.json                     # measure: about a minute of one CPU
    python benchmarks/run --output NEW.json --compare OLD.json  # measure and compare
    python benchmarks/run --new NEW.json --compare OLD.json     # compare two files

All seconds are CPU seconds of the work and of its processes. Everything is measured once per round, and the
fewest seconds of all rounds count. The first line is a piece of work that has nothing to do with `tier`:
ratios are divided by its ratio, as the same machine is not always as fast. A measure is slower if its ratio
exceeds 1 by more than the noise: the spreads of both measurements together (how far the median round lies
above the fewest seconds), at least 5 %. Exit codes: 0, nothing is slower; 2, the files are from different
machines; 3, something is slower.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from mutations import ENCODERS, drawn_chest
from processes import TIER, cpu_seconds
from pydicom import dcmread

from tier_cli.decoding.decode import Decoded, Settings, decode
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.engine import Engine, usable_cpus
from tier_cli.model.open_engine import open_engine
from tier_cli.packages import installed_versions

REFERENCE = "work without tier"
SLOWER, OTHER_MACHINE = 3, 2
_LEAST_NOISE = 0.05
_PACKAGES = ("tier-cli", "numpy", "onnxruntime", "torch", "pydicom", "pillow", "pylibjpeg-openjpeg")
_SIDE, _FILES, _BATCH = 2048, 16, 8
# What hospitals send: `mutations.ENCODERS` by the names shown.
_CODECS = {
    "uncompressed": "DICOM, 12 bits",
    "RLE": "RLE, 12 bits",
    "JPEG-LS": "JPEG-LS",
    "JPEG lossless": "JPEG lossless, 12 bits",
    "JPEG 2000 lossless": "JPEG 2000, 12 bits",
    "JPEG baseline": "JPEG baseline",
}

_PROMPTS = [
    f"{size} effusion on the {side}" for size in ("no", "small", "large") for side in ("left", "right")
]

Work = Callable[[], object]


@dataclass(frozen=True)
class Difference:
    """A measure in two files: the ratio of new to old seconds, and how far from 1 noise may bring it."""

    name: str
    ratio: float
    noise: float

    @property
    def verdict(self) -> str:
        """Return ``slower``, ``faster`` or nothing."""
        if self.ratio > 1 + self.noise:
            return "slower"
        return "faster" if 1 / self.ratio > 1 + self.noise else ""


def main(arguments: Sequence[str]) -> int:
    """Measure, write, compare; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="write the measurement to this JSON file")
    parser.add_argument("--compare", type=Path, metavar="OLD", help="compare with this file")
    parser.add_argument("--new", type=Path, help="measure nothing; take this file")
    parser.add_argument("--model", default="tier-small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="measure only what contains this text")
    given = parser.parse_args(arguments)
    old = _read(given.compare) if given.compare else None
    if given.new:
        new = _read(given.new)
    else:
        with tempfile.TemporaryDirectory() as folder:
            chosen = {
                name: work
                for name, work in works(Material(given.model, Path(folder))).items()
                if given.only in name or name == REFERENCE
            }
            new = measurement(measured(chosen, given.rounds))
        if given.output:
            given.output.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")
    if old is not None:
        return _compare(old, new)
    for name, one in new["measures"].items():
        _say(f"{name:<34}{one['smallest']:>9.3f} s  +{one['spread']:.0%}")
    return 0


def _compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> int:
    """Print what differs between two measurements; return the exit code."""
    if other := differing_machine(old, new):
        _say("the files are from different machines: " + "; ".join(other))
        return OTHER_MACHINE
    for line in differing_versions(old, new):
        _say(line)
    differences = compared(old, new)
    _say(f"{'':<34}{'old':>11}{'new':>11}{'ratio':>8}{'noise':>7}")
    for one in differences:
        before, after = (file["measures"][one.name]["smallest"] for file in (old, new))
        _say(
            f"{one.name:<34}{before:>9.3f} s{after:>9.3f} s{one.ratio:>8.2f}{one.noise:>7.0%}  {one.verdict}"
        )
    left = set(old["measures"]) ^ set(new["measures"])
    if left:
        _say(f"only in one of the files: {', '.join(sorted(left))}")
    return SLOWER if any(one.verdict == "slower" for one in differences) else 0


def measurement(rounds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return what a file holds: the machine, the versions, the date, and each measure's CPU seconds."""
    measures = {
        name: {
            "rounds": list(seconds),
            "smallest": min(seconds),
            "spread": statistics.median(seconds) / min(seconds) - 1,
        }
        for name, seconds in rounds.items()
    }
    return {
        "machine": machine(),
        "versions": {"python": platform.python_version(), **installed_versions(*_PACKAGES)},
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "unit": "CPU seconds",
        "measures": measures,
    }


def machine() -> dict[str, Any]:
    """Return the processor's name and kind and the number of CPUs that this process may use."""
    name = platform.processor()
    cpus = Path("/proc/cpuinfo")
    if cpus.is_file():
        # "Intel Xeon Processor" alone names many; family and model tell them apart.
        wanted = ("model name", "cpu family", "model")
        found = dict(
            (part.strip() for part in line.split(":", 1))
            for line in cpus.read_text().splitlines()
            if ":" in line
        )
        name = ", ".join(
            found[key] if key == "model name" else f"{key} {found[key]}" for key in wanted if key in found
        )
    return {"processor": name or platform.machine(), "cpus": usable_cpus(), "system": platform.system()}


def differing_machine(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs between the machines of two files, in words."""
    return _differing(old["machine"], new["machine"])


def differing_versions(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return which packages have other versions, in words."""
    return _differing(old["versions"], new["versions"])


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    names = dict.fromkeys((*old, *new))
    return [f"{name} {old.get(name)} -> {new.get(name)}" for name in names if old.get(name) != new.get(name)]


def compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Return the differences of the measures that both files have, without the reference."""
    before, after = old["measures"], new["measures"]
    same = 1.0
    if REFERENCE in before and REFERENCE in after:
        same = after[REFERENCE]["smallest"] / before[REFERENCE]["smallest"]
    return [
        Difference(
            name,
            after[name]["smallest"] / before[name]["smallest"] / same,
            max(_LEAST_NOISE, before[name]["spread"] + after[name]["spread"]),
        )
        for name in before
        if name in after and name != REFERENCE
    ]


def measured(works: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each work in each round, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            before = cpu_seconds()
            work()
            if number:
                seconds[name].append(cpu_seconds() - before)
    return seconds


class Material:
    """What the works use, made when the first of them needs it.

    Parameters
    ----------
    model
        A checkpoint.
    folder
        An empty folder for files.
    """

    def __init__(self, model: str, folder: Path):
        self.model = model
        self.folder = folder
        self.random = np.random.default_rng(0)

    def file(self, codec: str) -> Path:
        """Return a DICOM file of this codec."""
        path = self.folder / f"{codec}.dcm"
        if not path.exists():
            content = ENCODERS[_CODECS[codec]](drawn_chest(_SIDE, self.random), self.random)
            dataset = dcmread(io.BytesIO(content))
            # As in most radiographs; without a window every pixel must be read for the lowest and highest.
            dataset.WindowWidth = 1 << int(dataset.BitsStored)
            dataset.WindowCenter = int(dataset.WindowWidth) // 2
            dataset.save_as(path)
        return path

    @cached_property
    def many(self) -> Path:
        """Write a folder of PNG files."""
        folder = self.folder / "many"
        folder.mkdir()
        for number in range(_FILES):
            content = ENCODERS["PNG"](drawn_chest(1024, self.random), self.random)
            (folder / f"{number}.png").write_bytes(content)
        return folder

    @cached_property
    def engine(self) -> Engine:
        """Open the model."""
        return open_engine(open_checkpoint(self.model), "auto", "cpu")

    @cached_property
    def settings(self) -> Settings:
        """Return how the model's images are read."""
        preprocessing = open_checkpoint(self.model).preprocessing
        return Settings(ReadOptions(rendering=preprocessing.rendering), preprocessing)

    def decode(self, codec: str) -> None:
        """Read and prepare a file."""
        outcome = decode(str(self.file(codec)), self.settings)
        if not isinstance(outcome, Decoded):
            raise SystemExit(f"a benchmark's file could not be read: {outcome}")

    def score(self, path: Path) -> None:
        """Run `tier classify` on a file or a folder."""
        options = ["--model", self.model, "--device", "cpu", "--output", str(self.folder / "scores.csv")]
        # The check runs the model again on pictures that surprise it, as drawn ones do.
        _python(TIER, "classify", str(path), *options, "--input-check", "off", "--quiet")

    def encode(self) -> None:
        """Run the image tower."""
        side = self.settings.preprocessing.crop
        self.engine.encode_images(np.zeros((_BATCH, 3, side, side), np.float32))


def works(material: Material) -> dict[str, Work]:
    """Return what is measured, by name."""
    return {
        REFERENCE: lambda: _reference(material.random),
        "import typer": lambda: _python("import typer"),
        "tier --help": lambda: _python(TIER, "--help"),
        "import torch": lambda: _python("import torch"),
        "tier classify, one DICOM file": lambda: material.score(material.file("uncompressed")),
        f"tier classify, {_FILES} PNG of 1,024 px": lambda: material.score(material.many),
        **{f"decode {_SIDE} px, {codec}": partial(material.decode, codec) for codec in _CODECS},
        f"model, {_BATCH} images": material.encode,
        f"model, {len(_PROMPTS)} prompts": lambda: material.engine.embed_texts(_PROMPTS),
    }


def _reference(random: np.random.Generator) -> None:
    """Compress, sort and add."""
    zlib.compress(random.bytes(4_000_000), 6)
    np.sort(random.random(1_000_000))
    sum(range(2_000_000))


def _python(*words: str) -> None:
    done = subprocess.run([sys.executable, "-c", *words], capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.decode())


def _read(path: Path) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path} is not a measurement: {error}") from None
    return said


def _say(line: str) -> None:
    sys.stdout.write(line.rstrip() + os.linesep)
    sys.stdout.flush()
