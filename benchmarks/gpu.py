"""Measure everything about one GPU that a short lease allows. Run: python benchmarks/gpu.py --output gpu.json

Parts, each with its own share of --minutes and each able to run alone (--part):

    towers    ResNet-50, ViT-B/16 and tier-small at 224 and 448 px: fp32 as `tier` computes, then bf16 with
              channels-last, CUDA graphs and torch.compile; images/s and share of peak
    copies    batches from pageable and from pinned memory, and copied while the model computes
    pipeline  decoding, the model and the whole run of `tier classify`, as `throughput.py` measures them
    training  a step of the paper's size (ResNet-50, BERT-base) in each precision, and compiled: MFU
    world     collectives of one process (NCCL; gloo on a CPU)
    tests     `pytest -m gpu`

The file is written after every row, so that a stopped run keeps what it has; what a part could not finish in
time or memory is a row with the reason. FLOPs are those that torch.utils.flop_counter counts, peaks the
vendor's dense bf16 peaks by the device's name, or --peak-tflops. `--device cpu --quick` runs all of it small
on a CPU, which shows only that the script works.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import throughput
import torch
import torch.distributed as dist
import training_step
from gpu_timing import Clock, Row, TooLittleTimeError, flops_of, seconds_of, share_of_peak, tried
from torch import Tensor

from tier_cli.imaging.discover import discover
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.configuration import TierConfig
from tier_cli.model.modeling import TierModel
from tier_cli.pipeline.scoring_job import open_job

# Dense bf16 TFLOP/s as the vendors state them, by a part of the device's name.
PEAKS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "L4": 121.0, "A10": 125.0, "T4": 65.0}
# The part of the time that each may use; what one leaves, the next ones have.
SHARES = {"towers": 0.35, "copies": 0.1, "pipeline": 0.15, "training": 0.25, "world": 0.05, "tests": 0.1}
SMALL_TEXT = {
    "model_type": "bert", "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 1, "intermediate_size": 32,
}  # fmt: skip
_ROOT = Path(__file__).parents[1]


def main() -> None:
    """Run the parts and write their rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--part", choices=SHARES, action="append")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--peak-tflops", type=float, help="dense bf16 peak of the device")
    parser.add_argument("--quick", action="store_true", help="small models and batches")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch cannot use a cuda device; --device cpu --quick tries the script")
    name = torch.cuda.get_device_name() if given.device == "cuda" else platform.processor() or "CPU"
    if given.peak_tflops is None:
        given.peak_tflops = next((peak for part, peak in PEAKS.items() if part in name), None)
    said: Row = {
        "device": name, "torch": torch.__version__, "cuda": torch.version.cuda,
        "peak_tflops": given.peak_tflops, "cpus": len(os.sched_getaffinity(0)), "rows": [],
    }  # fmt: skip
    began = time.perf_counter()
    parts = given.part or list(SHARES)
    for number, part in enumerate(parts):
        left = given.minutes * 60 - (time.perf_counter() - began)
        clock = Clock(left * SHARES[part] / sum(SHARES[one] for one in parts[number:]))
        for row in _rows(part, given, clock):
            said["rows"].append({"part": part, **row})
            given.output.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
            sys.stdout.write(json.dumps(said["rows"][-1]) + "\n")
            sys.stdout.flush()
    if any(row.get("failed") for row in said["rows"]):
        raise SystemExit(1)


def _rows(part: str, given: Namespace, clock: Clock) -> Iterator[Row]:
    """Yield the rows of a part, and why it ended early."""
    try:
        yield from PARTS[part](given, clock)
    except TooLittleTimeError:
        yield {"stopped": "too little time"}


def towers(given: Namespace, clock: Clock) -> Iterator[Row]:
    """Measure image towers in each size and way."""
    sizes = (64,) if given.quick else (224, 448)
    ways = ("fp32", "bf16", "bf16, channels last", "bf16, graph", "bf16, compiled")
    for name in ("resnet-50", "vit-b/16", "tier-small"):
        for side in sizes:
            batch = 2 if given.quick else (256 if side == 224 else 64)
            model = _tower(name, side).to(given.device).eval()
            images = torch.randn(batch, 3, side, side, device=given.device)
            with torch.inference_mode():
                flops = flops_of(partial(model.encode_images, images))
            for way in ways:
                clock.check()
                row = {"model": name, "side": side, "batch": batch, "way": way}
                if given.quick and way == "bf16, compiled":
                    continue
                yield tried(row, partial(_tower_speed, given, clock, model, images, way, flops))


def _tower_speed(given: Namespace, clock: Clock, model: Any, images: Tensor, way: str, flops: int) -> Row:
    seconds = seconds_of(given, clock, _encoder(given, model, images, way))
    return {
        "images_per_second": round(len(images) / seconds, 1),
        **share_of_peak(given, flops, seconds),
    }


def _tower(name: str, side: int) -> Any:
    if name == "tier-small":
        return TierModel.from_pretrained(open_checkpoint("tier-small").path)
    if name == "resnet-50":
        image = {"model_type": "resnet", **training_step.SIZES["paper"][0]}
    else:
        image = {"model_type": "vit", "image_size": side, "patch_size": 16}
    return TierModel(TierConfig(image, SMALL_TEXT))


def _encoder(given: Namespace, model: Any, images: Tensor, way: str) -> Callable[[], object]:
    """Return a function that encodes a batch in one of the ways; the model's own weights stay as they are."""
    import copy

    if way == "fp32":
        flags = torch.backends.cudnn.flags(enabled=True, allow_tf32=False) if given.device == "cuda" else None

        def whole() -> object:
            with torch.inference_mode(), flags or nullcontext():
                return model.encode_images(images).pooled

        return whole
    format_ = torch.channels_last if way != "bf16" else torch.contiguous_format
    half = copy.deepcopy(model).to(torch.bfloat16).to(memory_format=format_)
    static = images.to(torch.bfloat16).contiguous(memory_format=format_)

    def encode() -> Tensor:
        with torch.no_grad():
            pooled: Tensor = half.encode_images(static).pooled
        return pooled

    if way == "bf16, compiled":
        return torch.compile(encode, mode="max-autotune-no-cudagraphs" if given.device == "cuda" else None)
    if way == "bf16, graph" and given.device == "cuda":
        return _graph(encode)
    return encode


def _graph(work: Callable[[], object]) -> Callable[[], object]:
    """Capture the kernels of `work` once and replay them."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = work()

    def replay() -> object:
        graph.replay()
        return kept

    return replay


def copies(given: Namespace, clock: Clock) -> Iterator[Row]:
    """Measure encoding batches that lie on the host: pageable, pinned, and copied ahead on another stream."""
    side, batch, count = (64, 2, 2) if given.quick else (224, 256, 8)
    model = (
        _tower("resnet-50", side).to(given.device, torch.bfloat16, memory_format=torch.channels_last).eval()
    )
    made = [torch.randn(batch, 3, side, side) for _ in range(count)]
    pinned = [one.pin_memory() for one in made] if given.device == "cuda" else made
    there = [one.to(given.device) for one in made]
    ways = {
        "already on the device": lambda: _encode_all(model, there),
        "pageable": lambda: _encode_all(model, (one.to(given.device) for one in made)),
        "pinned": lambda: _encode_all(model, (one.to(given.device, non_blocking=True) for one in pinned)),
        "pinned, copied ahead": lambda: _encode_all(model, _ahead(given, pinned)),
    }
    for way, work in ways.items():
        clock.check()

        row = {"model": "resnet-50, bf16", "side": side, "batch": batch, "way": way}
        yield tried(row, partial(_copy_speed, given, clock, work, batch * count))


def _copy_speed(given: Namespace, clock: Clock, work: Callable[[], object], images: int) -> Row:
    return {"images_per_second": round(images / seconds_of(given, clock, work), 1)}


def _encode_all(model: Any, batches: Any) -> list[Tensor]:
    with torch.no_grad():
        return [
            model.encode_images(one.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)).pooled
            for one in batches
        ]


def _ahead(given: Namespace, batches: list[Tensor]) -> Iterator[Tensor]:
    """Yield batches on the device, each copied while the one before is used."""
    if given.device != "cuda":
        yield from batches
        return
    stream, waiting = torch.cuda.Stream(), None
    for one in [*batches, None]:
        upcoming = None
        if one is not None:
            with torch.cuda.stream(stream):
                upcoming = one.to(given.device, non_blocking=True)
        if waiting is not None:
            yield waiting
        if upcoming is not None:
            torch.cuda.current_stream().wait_stream(stream)
            upcoming.record_stream(torch.cuda.current_stream())
        waiting = upcoming


def pipeline(given: Namespace, clock: Clock) -> Iterator[Row]:
    """Measure `tier classify` in this process: its halves and the whole."""
    count, workers = (8, 0) if given.quick else (1024, min(16, len(os.sched_getaffinity(0))))
    job = open_job("tier-small", engine="torch", device=given.device)
    with tempfile.TemporaryDirectory() as folder:
        sources = list(discover([throughput.pictures(Path(folder), 4 if given.quick else 32)]))
        sources = (sources * (count // len(sources) + 1))[:count]
        for name, work in throughput.halves(job, sources, 32 if not given.quick else 4, workers).items():
            clock.check()
            if name == "decoding in a loop":
                continue
            began = time.perf_counter()
            work()
            seconds = time.perf_counter() - began
            yield {
                "what": name,
                "images": count,
                "workers": workers,
                "images_per_second": round(count / seconds, 1),
            }


def training(given: Namespace, clock: Clock) -> Iterator[Row]:
    """Measure a step of training with both penalties in each precision."""
    size, side, batch = ("small", 64, 2) if given.quick else ("paper", 224, 256)
    kinds = [("fp32", training_step.PENALTIES), ("bf16", training_step.PENALTIES)]
    if given.device == "cuda":
        kinds += [("fp16", training_step.PENALTIES), ("bf16", training_step.COMPILED)]
    for precision, kind in kinds:
        clock.check()
        words = Namespace(
            size=size, device=given.device, precision=precision, batch_size=batch, parts=1, image_size=side
        )
        row = {"size": size, "side": side, "batch": batch, "precision": precision, "kind": kind}
        yield tried(row, partial(_step_speed, given, clock, words, kind))


def _step_speed(given: Namespace, clock: Clock, words: Namespace, kind: str) -> Row:
    step = training_step.stepper(words, kind)
    flops = flops_of(training_step.stepper(words, training_step.PENALTIES))
    seconds = seconds_of(given, clock, step)
    said = {
        "seconds_per_step": round(seconds, 4),
        "pairs_per_second": round(words.batch_size / seconds, 1),
    }
    if given.device == "cuda":
        said["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        torch.cuda.reset_peak_memory_stats()
    return said | share_of_peak(given, flops, seconds)


def world(given: Namespace, clock: Clock) -> Iterator[Row]:
    """Run the collectives of training in a world of one process."""
    del clock
    backend = "nccl" if given.device == "cuda" else "gloo"
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group(backend, init_method=f"file://{folder}/store", rank=0, world_size=1)
        try:
            value = torch.arange(4.0, device=given.device)
            total = value.clone()
            dist.all_reduce(total)
            rows = [torch.empty_like(value)]
            dist.all_gather(rows, value)
            objects: list[Any] = [None]
            dist.all_gather_object(objects, "object")
            same = bool(torch.equal(total, value) and torch.equal(rows[0], value) and objects == ["object"])
            yield {
                "backend": backend,
                "same": same,
                **({} if same else {"failed": "a collective changed its input"}),
            }
        finally:
            dist.destroy_process_group()


def tests(given: Namespace, clock: Clock) -> Iterator[Row]:
    """Run the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-n", "0", "tests/project/test_gpu.py"]
    if given.quick:
        command.append("--collect-only")
    try:
        done = subprocess.run(
            command, cwd=_ROOT, capture_output=True, text=True, timeout=max(30, clock.left), check=False
        )
    except subprocess.TimeoutExpired:
        raise TooLittleTimeError from None
    # 5: no test was collected, as without a GPU.
    row = {"code": done.returncode, "last_line": (done.stdout.strip().splitlines() or [""])[-1]}
    if done.returncode not in (0, 5):
        row["failed"] = done.stdout[-3000:]
    yield row


PARTS: dict[str, Callable[[Namespace, Clock], Iterator[Row]]] = {
    "towers": towers,
    "copies": copies,
    "pipeline": pipeline,
    "training": training,
    "world": world,
    "tests": tests,
}


if __name__ == "__main__":
    np.seterr(all="raise")
    torch.manual_seed(0)
    main()
