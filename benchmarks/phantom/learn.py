"""Train on phantoms from random weights: with and without penalties, and on shuffled captions.

    python benchmarks/phantom/learn.py WORK [--count N] [--seeds 0 1 2] [--epochs E]

WORK receives the phantoms, the random starting weights, one checkpoint per run and results.json. Existing
parts are not repeated, so an interrupted experiment continues. Afterwards
`python benchmarks/phantom/plot.py WORK` draws the figures of docs/phantom.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from similarities import inputs_of, measure
from start import CROP, SIZE, captions, write_start

from tier_cli.datasets.manifest import read_manifest
from tier_cli.imaging.preprocess import Preprocessing

FINDINGS = Path(__file__).with_name("findings.toml")
# Two-sided 95 % of Student's t with 2 degrees of freedom: three seeds.
STUDENT_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
SCALARS = (
    ("auc", "mean"),
    ("hoyer",),
    ("share_above_0.1",),
    ("share_positive_above_0.1",),
    ("patch_entropy",),
    ("token_entropy",),
    ("boxes", "mean", "share"),
    ("boxes", "mean", "chance"),
    ("boxes", "mean", "hit"),
    ("boxes", "mean", "contrast"),
)


def main() -> None:
    """Generate images, train, measure and summarise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names of runs, such as tier-0 plain-1 shuffled-0")
    parser.add_argument("--train-only", action="store_true", help="train only; measure in a later call")
    given = parser.parse_args()
    data = given.work / "phantoms"
    if not (data / "manifest.csv").is_file():
        tier("data", "phantom", str(data), "--count", str(given.count), "--size", str(SIZE))
    without_reports(data)
    runs = {f"{kind}-{seed}": (kind, seed) for seed in given.seeds for kind in ("plain", "tier")}
    runs["shuffled-0"] = ("shuffled", given.seeds[0])
    for name, (kind, seed) in runs.items():
        if not given.only or name in given.only:
            train(given, data, name, kind, seed)
    if given.train_only:
        return
    test = read_manifest(data / "manifest.csv").split("test")
    pixels, covered = inputs_of(test, Preprocessing(resize_short=SIZE, crop=CROP))
    texts = [one.text for one in captions(test, random.Random(0))]
    made = {
        name: measure(given.work / name, test, texts, pixels, covered, FINDINGS)
        for name in runs
        if (given.work / name / "model.safetensors").is_file()
    }
    result = {"test_images": len(test), "test_patients": len(set(test.patients())),
              "summary": summary(made), "runs": made}  # fmt: skip
    (given.work / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.write(json.dumps({k: v for k, v in result.items() if k != "runs"}, indent=1) + "\n")


def without_reports(data: Path) -> None:
    """Write labels.csv, the manifest without reports, so that training writes captions from the labels."""
    with (data / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (data / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        columns = [name for name in rows[0] if name != "text"]
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def train(given: argparse.Namespace, data: Path, name: str, kind: str, seed: int) -> None:
    """Run `tier train` from random weights, unless the run is already complete."""
    output, start = given.work / name, given.work / f"start-{seed}"
    if (output / "model.safetensors").is_file():
        return
    if not (start / "checksums.json").is_file():
        write_start(start, read_manifest(data / "labels.csv").split("train"), seed)
    tier(
        *("train", "--data", str(data / "labels.csv"), "--output", str(output), "--init", str(start)),
        *("--freeze-text-layers", "2"),
        *("--batch-size", "32", "--learning-rate", "3e-3"),
        *("--epochs", str(given.epochs), "--precision", "bf16"),
        *("--seed", str(seed), "--threads", str(given.threads)),
        *(() if kind == "tier" else ("--reg-weight", "0")),
        *(("--shuffle-captions",) if kind == "shuffled" else ()),
    )


def tier(*arguments: str) -> None:
    """Run the command of this checkout."""
    code = "from tier_cli.app import main; raise SystemExit(main())"
    root = str(Path(__file__).resolve().parents[2])
    subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, env={**os.environ, "PYTHONPATH": root}
    )


def summary(made: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Return, per kind of run and number, the mean over seeds and its 95 % interval (Student's t)."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for name, numbers in made.items():
        kinds.setdefault(name.rsplit("-", 1)[0], []).append(numbers)
    return {
        kind: {" ".join(keys): interval([_look_up(one, keys) for one in runs]) for keys in SCALARS}
        for kind, runs in kinds.items()
    }


def _look_up(numbers: Any, keys: tuple[str, ...]) -> float:
    for key in keys:
        numbers = numbers[key]
    return float(numbers)


def interval(values: list[float]) -> str:
    """Format the mean and its 95 % interval."""
    mean = float(np.mean(values))
    if len(values) not in STUDENT_95:
        return f"{mean:.4f}"
    half = STUDENT_95[len(values)] * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return f"{mean:.4f} ({mean - half:.4f} to {mean + half:.4f})"


if __name__ == "__main__":
    main()
