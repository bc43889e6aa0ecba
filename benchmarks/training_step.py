"""Compare the cost of training steps. Run: python benchmarks/training_step.py [--size paper]

Measures a step without penalties, with them, with cached accumulation, and, with `--compile`, under
torch.compile, which `tier train` does not use. Every kind runs once per round and the best rounds are
compared, so that a busy machine disturbs all kinds equally. On a CPU the seconds are CPU time. Peak memory
on a GPU is that of torch's allocator; on a CPU each kind runs in its own process and the peak size of that
process counts. Finally it compares the images per second of the loader with a loop that only decodes.

On a GPU, with the share of its peak (here an H100's or H200's in bf16) that the paper's model reaches:
--size paper --device cuda --precision bf16 --batch-size 256 --peak-tflops 989
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mutations import drawn_chest
from numpy.typing import NDArray
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from tier_cli.datasets.manifest import Manifest
from tier_cli.findings.load import load_findings
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.model.configuration import TierConfig
from tier_cli.model.losses import TierObjective
from tier_cli.model.modeling import TierModel
from tier_cli.training.data.labels import label_training_rows
from tier_cli.training.data.pairs import Pairs
from tier_cli.training.distributed import World
from tier_cli.training.inputs.images import AugmentedImages, StreamedPixels
from tier_cli.training.inputs.loader import Batch, Batches, Plan, load
from tier_cli.training.loop.freezing import Encoders
from tier_cli.training.loop.memory import keep_freed_memory
from tier_cli.training.loop.optimise import build_optimizer
from tier_cli.training.loop.step import Gradients, Relations
from tier_cli.training.settings import TrainSettings

SIZES = {
    # A ResNet-18 and six layers of 384, as in MiniLM.
    "small": (
        {"embedding_size": 64, "hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2],
         "layer_type": "basic"},
        {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    ),
    # The paper's: ResNet-50 and BERT-base.
    "paper": (
        {"embedding_size": 64, "hidden_sizes": [256, 512, 1024, 2048], "depths": [3, 4, 6, 3],
         "layer_type": "bottleneck"},
        {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    ),
}  # fmt: skip
PLAIN, PENALTIES, PARTS = "no penalties", "penalties", "penalties, in parts"
COMPILED = "penalties, compiled"
TOKENS = 64
# Images per batch when loading is measured.
_PART = 10


def main() -> None:
    """Measure and print tables."""
    given = _arguments()
    if given.memory_of:
        sys.stdout.write(json.dumps(_memory_here(given, given.memory_of)))
        return
    kinds = (PLAIN, PENALTIES, PARTS, *([COMPILED] if given.compile else []))
    # Measured first: a child process inherits the peak of the process that starts it.
    memory = {kind: _memory(given, kind) for kind in kinds}
    steps = {kind: stepper(given, kind) for kind in kinds}
    best = _best(steps, given.rounds, given.device)
    _say(
        f"{given.size} model, {given.image_size} px, batch {given.batch_size}, {given.precision}, "
        f"{given.device}, {torch.get_num_threads()} threads"
    )
    _say(f"{'':<22}{'s/step':>10}{'ratio':>8}{'peak MiB':>10}{'ratio':>8}{'images/s':>10}")
    for kind in kinds:
        _say(
            f"{kind:<22}{best[kind]:>10.3f}{best[kind] / best[PLAIN]:>8.3f}{memory[kind]:>10.0f}"
            f"{memory[kind] / memory[PLAIN]:>8.3f}{given.batch_size / best[kind]:>10.1f}"
        )
    if given.peak_tflops:
        with FlopCounterMode(display=False) as counter:
            steps[PENALTIES]()
        used = counter.get_total_flops() / best[PENALTIES] / 1e12
        _say(f"{used:.1f} TFLOP/s, {used / given.peak_tflops:.2f} of the peak of {given.peak_tflops:g}")
    _loader(given.images, given.rounds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--peak-tflops", type=float, help="peak of the device, to show the share used")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile too")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    return parser.parse_args()


def stepper(given: argparse.Namespace, kind: str) -> Callable[[], None]:
    """Return a function that makes one step of the optimiser over one batch of noise."""
    image, text = SIZES[given.size]
    weight = 0.0 if kind == PLAIN else 1.0
    settings = TrainSettings(freeze_text_layers=int(text["num_hidden_layers"]) * 2 // 3)
    torch.manual_seed(0)
    device = torch.device(given.device)
    config = TierConfig(
        {"model_type": "resnet", **image}, {"model_type": "bert", "vocab_size": 30522, **text}
    )
    encoders = Encoders(TierModel(config).to(device))
    encoders.model.image_tower.to(memory_format=torch.channels_last)
    encoders.freeze(settings.freeze_text_layers)
    encoders.train_mode(settings.freeze_text_layers, statistics=kind != PARTS)
    if kind == COMPILED:
        encoders.model.image_tower.compile()
        # Dynamic: batches differ in length.
        encoders.model.text_tower.compile(dynamic=True)
    optimizer = build_optimizer(encoders.model, settings, fresh_heads=True)
    objective = TierObjective(0.2 * weight, 0.1 * weight)
    gradients = Gradients(encoders, encoders.model, objective, World(), given.precision, 0, 0)
    n, side = given.batch_size, given.image_size
    lengths = torch.linspace(TOKENS // 2, TOKENS, n).long()
    mask = (torch.arange(TOKENS)[None] < lengths[:, None]).long()
    ids = torch.randint(1000, 30000, (n, TOKENS))
    batch = Batch(torch.arange(n), torch.randn(n, 3, side, side), ids, mask, []).to(device)
    relations = Relations(torch.eye(n, dtype=torch.bool, device=device))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        if kind == PARTS:
            gradients.in_parts(batch, relations, 0, n // given.parts)
        else:
            gradients.whole(batch, relations, 0)
        optimizer.step()

    return step


def _best(steps: dict[str, Callable[[], None]], rounds: int, device: str) -> dict[str, float]:
    clock = time.perf_counter
    if device == "cpu":
        clock = time.process_time
        keep_freed_memory()
    best = dict.fromkeys(steps, float("inf"))
    for number in range(rounds + 1):
        for kind, step in steps.items():
            began = clock()
            step()
            _finish(device)
            # The first round allocates memory and selects algorithms; it does not count.
            if number:
                best[kind] = min(best[kind], clock() - began)
    return best


def _memory(given: argparse.Namespace, kind: str) -> float:
    """Return the peak memory in MiB of a step of this kind, measured in a process of its own."""
    names = ("size", "device", "precision", "batch_size", "parts", "image_size")
    options = [(f"--{name.replace('_', '-')}", str(getattr(given, name))) for name in names]
    command = [sys.executable, __file__, "--memory-of", kind, *(word for pair in options for word in pair)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def _memory_here(given: argparse.Namespace, kind: str) -> float:
    step = stepper(given, kind)
    for _ in range(2):
        step()
    if given.device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _loader(count: int, rounds: int) -> None:
    """Print wall-clock images per second of decoding alone, with augmentation, and of the real loader.

    Each uses one process, so that the shares of the work can be compared; the loader's is a worker process.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = _pictures(Path(folder), count)
        pixels = StreamedPixels(paths, Preprocessing())
        images = AugmentedImages(pixels, Preprocessing(), 0, lambda row: row)
        rows, best = np.arange(count), dict.fromkeys(("decoding alone", "augmented", "the loader"), math.inf)
        for _ in range(rounds):
            took = (
                _seconds(lambda: [pixels.read(row) for row in range(count)]),
                _seconds(lambda: [images.batch(part, part) for part in np.array_split(rows, count // _PART)]),
                _seconds_of_loading(paths),
            )
            best = {kind: min(least, now) for (kind, least), now in zip(best.items(), took, strict=True)}
    for kind, seconds in best.items():
        _say(f"{kind:<22}{count / seconds:>10.1f} images/s{best['decoding alone'] / seconds:>8.3f}")


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _seconds_of_loading(paths: list[str]) -> float:
    """Return the seconds that one running worker process takes to load all images once."""
    frame = pd.DataFrame({"path": paths, "text": [str(row) for row in range(len(paths))]})
    pairs = Pairs(label_training_rows(Manifest(frame, "table"), load_findings("nih14")), 0)
    images = AugmentedImages(StreamedPixels(paths, Preprocessing()), Preprocessing(), 0, pairs.after)
    plan = Plan(pairs, _PART, len(paths) // _PART)
    steps, ahead = len(paths) // _PART, 2
    with closing(
        load(Batches(plan, images, _no_texts), 0, steps + 2 * ahead, 1, torch.device("cpu"))
    ) as all_:
        for _ in range(ahead):
            next(all_)
        return _seconds(lambda: [next(all_) for _ in range(steps)])


def _no_texts(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ids = np.zeros((len(texts), 1), np.int64)
    return ids, ids


def _pictures(folder: Path, count: int) -> list[str]:
    """Write a JPEG file of 2,048 px, about the size of public radiographs, and return its path repeatedly."""
    chest = drawn_chest(2048, np.random.default_rng(0))
    Image.fromarray(chest).save(folder / "0.jpg", quality=95)
    return [str(folder / "0.jpg")] * count


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
