"""Measure how many decoding processes and model threads pay. Run: python benchmarks/threads.py FOLDER

For each number of processes and threads: CPU seconds, with those of the processes, and seconds of the clock,
the least of several rounds. The clock says something only on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace

import numpy as np
from processes import cpu_seconds

from tier_cli.imaging.discover import discover
from tier_cli.model.onnx_engine import OnnxEngine
from tier_cli.pipeline.scoring_job import open_job
from tier_cli.pipeline.stream import StreamOptions


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="images to score")
    parser.add_argument("--model", default="tier-small")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    job = open_job(given.model, engine="onnx", device="cpu")
    sources = list(discover([given.folder]))
    sources = (sources * (given.images // len(sources) + 1))[: given.images]
    member, side = job.members[0], job.checkpoint.preprocessing.crop
    best: dict[tuple[int, int], tuple[float, float]] = {}
    for _ in range(given.rounds):
        for pair in [(workers, threads) for workers in given.workers for threads in given.threads]:
            engine = OnnxEngine(member.checkpoint, pair[1])
            engine.encode_images(np.zeros((2, 3, side, side), np.float32))
            one = replace(job, members=(replace(member, engine=engine),))
            used, start = cpu_seconds(), time.perf_counter()
            for _ in one.classify(sources, StreamOptions(workers=pair[0])):
                pass
            found = cpu_seconds() - used, time.perf_counter() - start
            before = best.get(pair, found)
            best[pair] = min(found[0], before[0]), min(found[1], before[1])
    for (workers, threads), (cpu, clock) in best.items():
        sys.stdout.write(f"{workers} processes, {threads} threads: {cpu:7.2f} s of CPU, {clock:7.2f} s\n")


if __name__ == "__main__":
    main()
