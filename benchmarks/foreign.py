"""Compare `tier classify` with a plain script on public models. Run: python benchmarks/foreign.py WORK

The models have the published sizes and random weights: a CheXzero (CLIP ViT-B/32) and a BioViL (ResNet-50 at
480 px and CXR-BERT), each converted as `tier model convert` does it. The images are synthetic chests in DICOM
files of 12 bits stored in 16, generated small and enlarged with noise. WORK keeps all of this for the next
run.

Both programs run as processes on the same files, with as many threads as this process may use CPUs (limit
them with `taskset`). They take turns, and the one that starts changes from round to round; files are in the
page cache. Each round also runs both on a quarter of the images: the difference is the time of the other
three quarters without start-up. `tier` has its finding vectors from the conversion; the script encodes its
texts each time.

The output is JSON lines: the conditions; then for each model the seconds and images per second with and
without start-up (medians); then the ratios script / `tier` of wall-clock and CPU time: median, minimum and
maximum of the rounds. On a busy machine use one CPU (`taskset -c 0`) and look at CPU time, since torch's
threads wait for each other actively. The exit code is 1 where scores differ by more than 0.001, or by more
than a hundredth of their range over the images, which random weights keep small.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import foreign_plain as plain
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from transformers import BertConfig, BertModel

from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.convert import convert
from tier_cli.model.engine import usable_cpus
from tier_cli.phantom.cohort import cases
from tier_cli.phantom.image_files import write_dicom

TIER = "import sys; from tier_cli.app import main; sys.exit(main(sys.argv[1:]))"
FAMILIES = ("chexzero", "biovil")
TOLERANCE = 1e-3
# Generated at this size, because a chest at full size takes ten seconds.
_DRAWN = 512
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Run(NamedTuple):
    """Hold wall-clock seconds, CPU seconds, and scores (N, F) in the order of file names."""

    seconds: float
    cpu: float
    scores: NDArray[np.float64]


def main() -> None:
    """Build missing models and images, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--family", choices=FAMILIES, action="append", help="measure only this family")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--size", type=int, default=2048, help="width and height in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, help="passed to `tier classify`")
    parser.add_argument("--batch-size", type=int, help="passed to `tier classify`")
    parser.add_argument("--engine", default="auto", help="passed to `tier classify`")
    given = parser.parse_args()
    few = max(5, given.images // 4)
    folders = {
        count: _images(given.work / f"images-{given.size}-{count}", count, given.size)
        for count in (few, given.images)
    }
    versions = {module.__name__: module.__version__ for module in (torch, onnxruntime)}
    _say(cpus=usable_cpus(), load=os.getloadavg(), images=given.images, few=few, size=given.size, **versions)
    options = ["--device", "cpu", "--engine", given.engine]
    for name in ("workers", "batch_size"):
        if getattr(given, name) is not None:
            options += [f"--{name.replace('_', '-')}", str(getattr(given, name))]
    differ = [
        family
        for family in given.family or FAMILIES
        if _measure(family, _model(given.work / family, family), folders, given.rounds, options)
    ]
    _say(load=os.getloadavg())
    if differ:
        raise SystemExit(f"the scores of {', '.join(differ)} differ: see largest_difference")


def _measure(family: str, folder: Path, images: dict[int, Path], rounds: int, options: Iterable[str]) -> bool:
    """Print three lines; return whether the scores differ."""
    few, all_ = sorted(images)
    runs = _turns(family, folder, (images[few], images[all_]), rounds, options)
    # Wall-clock and CPU seconds, by round.
    whole = {name: np.array([b[:2] for _, b in pairs]).T for name, pairs in runs.items()}
    rest = {name: whole[name] - np.array([a[:2] for a, _ in pairs]).T for name, pairs in runs.items()}
    for name in runs:
        (clock, cpu), (more, more_cpu) = np.median(whole[name], axis=1), np.median(rest[name], axis=1)
        said = {"seconds": clock, "cpu_seconds": cpu, "each_round": whole[name][0].tolist()}
        said |= {"images_per_second": all_ / clock, "images_per_second_without_start": (all_ - few) / more}
        said |= {"start_seconds": clock - more * all_ / (all_ - few)}
        _say(family=family, what=name, **said, cpu_seconds_an_image=more_cpu / (all_ - few))
    said = {}
    for name, seconds in (("", whole), ("_without_start", rest)):
        clock, cpu = seconds["script"] / seconds["tier"]
        said["ratio" + name] = [float(of(clock)) for of in (np.median, np.min, np.max)]
        said["ratio_of_cpu" + name] = [float(of(cpu)) for of in (np.median, np.min, np.max)]
    ours, theirs = (runs[name][0][1].scores for name in ("tier", "script"))
    largest, spread = float(np.abs(ours - theirs).max()), float(np.ptp(ours, axis=0).max())
    _say(family=family, **said, largest_difference=largest, range_of_scores_over_images=spread)
    return not largest <= min(TOLERANCE, spread / 100)


def _turns(
    family: str, folder: Path, images: tuple[Path, Path], rounds: int, options: Iterable[str]
) -> dict[str, list[tuple[Run, Run]]]:
    """Run both programs on few and on all images, once per round."""
    here = str(Path(__file__).with_name("foreign_plain.py"))
    commands = {
        "tier": ["-c", TIER, "classify", "IMAGES", "--model", str(folder / "converted"), *options],
        "script": [here, family, str(folder), "IMAGES"],
    }
    runs: dict[str, list[tuple[Run, Run]]] = {name: [] for name in commands}
    for name, command in commands.items():
        _run(f"{name}, warming up", command, images[0])
    for number in range(rounds):
        for name in sorted(commands, reverse=bool(number % 2)):
            few, all_ = (_run(f"{name}, round {number}", commands[name], folder) for folder in images)
            runs[name].append((few, all_))
    return runs


def _run(name: str, command: list[str], images: Path) -> Run:
    words = [str(images) if word == "IMAGES" else word for word in command]
    began, before = time.perf_counter(), _cpu()
    environment = {**os.environ, "OMP_NUM_THREADS": str(usable_cpus())}
    done = subprocess.run([sys.executable, *words], capture_output=True, check=False, env=environment)
    seconds, cpu = time.perf_counter() - began, _cpu() - before
    sys.stderr.write(f"{name}, {images.name}: {seconds:.2f} s, {cpu:.2f} s of CPU time\n")
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    rows = {}
    for line in done.stdout.splitlines():
        said = json.loads(line)
        scores = said.get("scores") or {found["finding"]: found["score"] for found in said["findings"]}
        rows[Path(said["path"]).name] = [scores[finding] for finding in sorted(scores)]
    return Run(seconds, cpu, np.array([rows[path.name] for path in sorted(images.iterdir())]))


def _cpu() -> float:
    """Return the CPU seconds of all ended child processes and of their own waited-for children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _images(folder: Path, count: int, size: int) -> Path:
    """Write DICOM files unless they exist."""
    folder.mkdir(parents=True, exist_ok=True)
    there = len(list(folder.glob("*.dcm")))
    noise = np.random.default_rng(0)
    for case in cases(count if there < count else 0, 0, _DRAWN):
        drawn = case.render()
        enlarged = Image.fromarray(drawn.pixels).resize((size, size), Image.Resampling.BICUBIC)
        grain = noise.standard_normal((size, size), np.float32) * np.float32(0.01)
        pixels = np.clip(np.asarray(enlarged) + grain, 0, 1)
        write_dicom(folder / f"{case.name}.dcm", replace(drawn, pixels=pixels), view=case.view)
    return folder


def _model(folder: Path, family: str) -> Path:
    """Write a foreign checkpoint and convert it, unless that is done already."""
    if (folder / "converted").is_dir():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    if family == "chexzero":
        vocabulary = _clip_tokenizer(folder)
        torch.save(_randomised(plain.Clip(vocabulary)), folder / "chexzero.pt")
        convert(folder / "chexzero.pt", folder / "converted", tokenizer=folder)
    else:
        _bert_tokenizer(folder)
        torch.save(_randomised(plain.BioVil()), folder / plain.IMAGE_FILE)
        text = nn.ModuleDict(
            {"bert": BertModel(BertConfig(), add_pooling_layer=False), "cls_projection_head": plain.Head()}
        )
        torch.save(_randomised(text), folder / "pytorch_model.bin")
        (folder / "config.json").write_text('{"model_type": "cxr-bert"}', encoding="utf-8")
        convert(folder, folder / "converted")
    findings = open_checkpoint(folder / "converted").findings.findings
    said = [(finding.id, finding.positive, finding.negative) for finding in findings]
    (folder / "findings.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


def _randomised(module: nn.Module) -> dict[str, Any]:
    """Randomise weights and statistics so that different images have different embeddings."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if tensor.ndim > 1:
                tensor.normal_(std=tensor[0].numel() ** -0.5)
            else:
                near_one = name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight"))
                tensor.normal_(std=0.1).add_(float(near_one)).abs_()
    return module.state_dict()


def _clip_tokenizer(folder: Path) -> int:
    """Write CLIP's two tokenizer files with its vocabulary size; only the letters are ever used."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*letters, *(f"{letter}</w>" for letter in letters)]
    pieces += [f"unused {number}" for number in range(49406 - len(pieces))]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return len(pieces)


def _bert_tokenizer(folder: Path) -> None:
    """Write BERT's tokenizer file with its vocabulary size and every word of the finding set."""
    from tier_cli.findings.load import builtin

    prompts = [text for one in builtin("chexpert14").findings for text in (*one.positive, *one.negative)]
    words = sorted(set(re.findall(r"\w+|[^\w\s]", " ".join(prompts).lower())))
    pieces = [*_SPECIAL, *words]
    pieces += [f"[unused{number}]" for number in range(BertConfig().vocab_size - len(pieces))]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")


def _say(**facts: Any) -> None:
    rounded = {name: round(fact, 9) if isinstance(fact, float) else fact for name, fact in facts.items()}
    sys.stdout.write(json.dumps(rounded) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
