"""Measure images per second: the whole run and its two halves. Run: python benchmarks/throughput.py [FOLDER]

A run cannot be faster than its slower half. Where both halves share the same CPUs, it cannot be faster than
one after the other: 1 / (1 / decoding + 1 / model). Everything runs once per round; the best rounds are
shown.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mutations import drawn_chest
from PIL import Image

from tier_cli.decoding.decode import Decoded, Settings, decode
from tier_cli.decoding.prefetch import decoded
from tier_cli.imaging.discover import Source, discover
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.model.engine import usable_cpus
from tier_cli.pipeline.scoring_job import ScoringJob, open_job
from tier_cli.pipeline.stream import StreamOptions


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", help="images to score; generated PNG files by default")
    parser.add_argument("--model", default="tier-small")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=min(usable_cpus(), 8))
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    job = open_job(given.model, engine=given.engine, device=given.device)
    with tempfile.TemporaryDirectory() as folder:
        sources = list(discover([given.folder or pictures(Path(folder))]))
        sources = (sources * (given.images // len(sources) + 1))[: given.images]
        best = _measure(halves(job, sources, given.batch_size, given.workers), given.rounds)
    rates = {name: len(sources) / seconds for name, seconds in best.items()}
    whole = rates["whole run"]
    sys.stdout.write(
        f"{len(sources)} images, {given.workers} workers, {job.engine.name} on {job.engine.device}\n"
    )
    for name, rate in rates.items():
        sys.stdout.write(f"{name:<28}{rate:9.1f} images/s   whole run / this = {whole / rate:.2f}\n")
    both = 1 / (1 / rates["decoding, with processes"] + 1 / rates["model alone"])
    sys.stdout.write(
        f"{'both, one after the other':<28}{both:9.1f} images/s   whole run / this = {whole / both:.2f}\n"
    )


def halves(
    job: ScoringJob, sources: list[Source], batch_size: int, workers: int
) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name: the whole run and its two halves, over the same files."""
    settings = Settings(
        ReadOptions(rendering=job.checkpoint.preprocessing.rendering), job.checkpoint.preprocessing
    )
    first = decode(sources[0].path, settings)
    if not isinstance(first, Decoded):
        raise SystemExit(str(first))
    batch = np.stack([first.pixels] * batch_size)
    options = StreamOptions(batch_size=batch_size, workers=workers)
    batches = range(-(-len(sources) // batch_size))
    return {
        "decoding in a loop": lambda: [decode(source.path, settings) for source in sources],
        "decoding, with processes": lambda: list(map(len, decoded(sources, settings, workers, batch_size))),
        "model alone": lambda: [job.engine.encode_images(batch) for _ in batches],
        "whole run": lambda: [result.error for result in job.classify(sources, options)],
    }


def _measure(parts: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    best = dict.fromkeys(parts, float("inf"))
    for _ in range(rounds):
        for name, part in parts.items():
            start = time.perf_counter()
            part()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def pictures(folder: Path, count: int = 20) -> str:
    """Write PNG files of 1,024 px that pass for radiographs."""
    random = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(drawn_chest(1024, random)).save(folder / f"{number}.png")
    return str(folder)


if __name__ == "__main__":
    main()
