"""Compare `tier` with what people use: python benchmarks/others/compare.py WORK --python PYTHON

PYTHON is the interpreter of an environment with the other programs; benchmarks/README.md says how to make it.
MedSigLIP also needs --medsiglip, the folder `python` of a clone. WORK keeps images and models for the next
run. Each program is one process on the same DICOM files of mixed codecs (`images.py`), in the page cache.
Where weights are the same (random, of the published sizes, converted by `tier model convert`), scores are
compared: the largest difference, and the range of the scores over the images as its measure.

CPU seconds are those of a program and its processes, start-up included: on a busy machine only they mean
something. The other programs run with one torch thread, which costs them the fewest CPU seconds. With several
rounds the programs take turns, and the fewest seconds count. `tier` finds the vectors of a checkpoint's own
findings in the checkpoint; those of the pipeline's labels it computes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import images as files
import numpy as np
import weights
from numpy.typing import NDArray

TIER = "import sys; from tier_cli.app import main; sys.exit(main())"
HERE = Path(__file__).parent
# Which checkpoint, which script and its options, and the goal as a ratio of CPU seconds.
PROGRAMS: dict[str, tuple[str, list[str], float | None]] = {
    "CheXzero's script": ("chexzero", ["chexzero.py"], 3.0),
    "CheXzero's script, one pass": ("chexzero", ["chexzero.py", "--one-pass"], 3.0),
    "hi-ml engine": ("biovil", ["hi_ml.py"], 3.0),
    "transformers pipeline": ("clip", ["transformers_pipeline.py"], 1.5),
    "TorchXRayVision, reading": ("", ["xrayvision.py"], None),
    "MedSigLIP accessors, reading": ("", ["medsiglip.py"], None),
}


@dataclass
class Run:
    """Hold wall-clock seconds, CPU seconds, and scores by file name and finding."""

    seconds: float
    cpu: float
    scores: dict[str, dict[str, float]]


def main() -> None:
    """Make what is missing, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--python", required=True, help="interpreter with the other programs")
    parser.add_argument("--medsiglip", help="the folder `python` of a clone of MedSigLIP's repository")
    parser.add_argument("--only", choices=PROGRAMS, action="append")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--option", action="append", default=[], help="a further word for `tier classify`")
    parser.add_argument("--read", default="{}", help="options of ReadOptions for reading alone, as JSON")
    parser.add_argument("--output", type=Path, help="also write the results as JSON")
    given = parser.parse_args()
    names = given.only or [name for name in PROGRAMS if given.medsiglip or "MedSigLIP" not in name]
    said: list[dict[str, Any]] = []
    runs: dict[str, Run] = {}
    _write(
        f"{'against':<30}{'images':>7}{'theirs':>11}{'tier':>11}{'ratio':>8}{'goal':>6}  largest difference"
    )
    for name in names:
        family, script, goal = PROGRAMS[name]
        without = "rle" if script == ["medsiglip.py"] else ""
        folder = files.images(
            given.work / f"images-{given.images}{without and '-no-' + without}", given.images, without
        )
        commands = _commands(given, family, script, folder)
        _take_turns(name, commands, given.rounds, given.medsiglip, runs)
        tier, other = (runs[" ".join(command)] for command in commands)
        row: dict[str, Any] = {
            "against": name, "images": given.images, "goal": goal,
            "cpu_seconds": {"tier": tier.cpu, "theirs": other.cpu},
            "wall_seconds": {"tier": tier.seconds, "theirs": other.seconds},
            "ratio_of_cpu": other.cpu / tier.cpu,
            **(_difference(tier, other, family) if family else {}),
        }  # fmt: skip
        said.append(row)
        differ = f"{row['largest_difference']:.5f} of {row['range_of_scores']:.3f}" if family else ""
        _write(
            f"{name:<30}{given.images:>7}{other.cpu:>9.1f} s{tier.cpu:>9.1f} s{row['ratio_of_cpu']:>8.2f}"
            f"{goal or '':>6}  {differ}"
        )
    if given.output:
        given.output.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def _take_turns(
    name: str,
    commands: tuple[list[str], list[str]],
    rounds: int,
    medsiglip: str | None,
    runs: dict[str, Run],
) -> None:
    """Run `tier` and the other program once per round; `runs` keeps the quickest of each command."""
    mine, theirs = commands
    for number in range(rounds):
        for command in (theirs, mine) if number % 2 else (mine, theirs):
            key = " ".join(command)
            # Both scripts of CheXzero stand beside the same run of `tier`.
            if command is theirs or number or key not in runs:
                ran = _run(name, command, medsiglip)
                runs[key] = min((runs[key], ran), key=lambda one: one.cpu) if key in runs else ran


def _commands(
    given: argparse.Namespace, family: str, script: list[str], folder: Path
) -> tuple[list[str], list[str]]:
    """Return the command of `tier` and that of the other program."""
    path, *options = [str(HERE / script[0]), *script[1:]]
    if not family:
        mine = [str(HERE / "reading.py"), script[0].removesuffix(".py"), str(folder), "--read", given.read]
        return [sys.executable, *mine], [given.python, path, str(folder)]
    model = weights.model(given.work / family, family)
    mine = ["classify", str(folder), "--model", str(model / "converted"), "--device", "cpu", *given.option]
    if family == "clip":
        mine += ["--findings", str(_one_negative(model))]
    return [sys.executable, "-c", TIER, *mine], [given.python, path, str(model), str(folder), *options]


def _one_negative(model: Path) -> Path:
    """Write the findings with one negative prompt for all: scores then differ as the labels' logits do."""
    findings = json.loads((model / "findings.json").read_text(encoding="utf-8"))
    labels = [name.replace("_", " ") for name, _, _ in findings]
    (model / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    lines = ['name = "labels"']
    for (name, _, _), label in zip(findings, labels, strict=True):
        lines += [f"[findings.{name}]", f'label = "{label}"', f'positive = ["{label}"]']
        lines += ['negative = ["clear lungs"]']
    path = model / "labels.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _difference(tier: Run, other: Run, family: str) -> dict[str, float]:
    """Return the largest difference of scores, and their range over the images as its measure."""
    mine, theirs = (_matrix(run, family == "clip") for run in (tier, other))
    if family == "clip":
        # A label's log probability is its scaled cosine minus a constant of the image.
        mine = mine - mine.mean(axis=1, keepdims=True)
        theirs = (theirs - theirs.mean(axis=1, keepdims=True)) / np.exp(4.6)
    return {
        "largest_difference": float(np.abs(mine - theirs).max()),
        "mean_difference": float(np.abs(mine - theirs).mean()),
        "range_of_scores": float(np.ptp(mine, axis=0).max()),
    }


def _matrix(run: Run, spaces: bool) -> NDArray[np.float64]:
    rows = [run.scores[name] for name in sorted(run.scores)]
    if spaces:
        rows = [{name.replace("_", " "): score for name, score in row.items()} for row in rows]
    return np.array([[row[name] for name in sorted(row)] for row in rows])


def _run(name: str, command: list[str], medsiglip: str | None) -> Run:
    # Of the environment with the other programs; `tier` chooses its own threads.
    theirs = command[0] != sys.executable
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    if theirs:
        environment["PYTHONPATH"] = medsiglip or ""
    began, before = time.perf_counter(), _cpu()
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    seconds, cpu = time.perf_counter() - began, _cpu() - before
    sys.stderr.write(f"{name}, {'theirs' if theirs else 'tier'}: {seconds:.1f} s, {cpu:.1f} s of CPU time\n")
    if done.returncode:
        raise SystemExit(done.stderr.decode()[-2000:])
    scores = {}
    for line in done.stdout.splitlines():
        said: dict[str, Any] = json.loads(line)
        found = said.get("scores") or {one["finding"]: one["score"] for one in said["findings"]}
        scores[Path(said["path"]).name] = found
    return Run(seconds, cpu, scores)


def _cpu() -> float:
    """Return the CPU seconds of all ended child processes and of their own waited-for children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
