"""Measure what maps cost beside scores, in CPU seconds. Run: python benchmarks/maps.py [FOLDER...]

Each round scores the same files alone, with `tier classify --maps`, and as `tier explain --output` does, one
after the other in one process. The ratios are medians over the rounds. The files of a folder are read again
until there are --images. Without a folder, a few DICOM files of 2,048 px and PNG files of 448 px are drawn.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tier_cli.commands.explain import DEFAULT_OUTPUTS, picture_side
from tier_cli.commands.explain_output import MapWriter
from tier_cli.imaging.discover import Source, discover
from tier_cli.phantom.folder import write_folder
from tier_cli.pipeline.explanations import finding_maps
from tier_cli.pipeline.map_files import open_map_files
from tier_cli.pipeline.scoring_job import ScoringJob, open_job
from tier_cli.pipeline.stream import stream_options


def main() -> None:
    """Measure and print one table per folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", help="images to score; drawn files by default")
    parser.add_argument("--model", default="tier-small")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    job = open_job(given.model, device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        for folder in given.folders or _drawn(Path(scratch)):
            sources = list(discover([folder]))
            sources = (sources * (given.images // len(sources) + 1))[: given.images]
            _measure(job, sources, folder, given.rounds)


def _drawn(folder: Path) -> list[str]:
    write_folder(folder / "dicom", 4, 0, kind="dicom", size=2048)
    write_folder(folder / "png", 20, 0, size=448)
    return [str(folder / "dicom"), str(folder / "png")]


def _measure(job: ScoringJob, sources: list[Source], name: str, rounds: int) -> None:
    seconds: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for part, run in _parts(job, sources).items():
            with tempfile.TemporaryDirectory() as folder:
                start = time.process_time()
                run(Path(folder))
                # The first round warms up.
                if number:
                    seconds.setdefault(part, []).append(time.process_time() - start)
    alone = seconds["scores alone"]
    sys.stdout.write(
        f"{name}: {len(sources)} images, {rounds} rounds, {job.engine.name} on {job.engine.device}\n"
    )
    for part, each in seconds.items():
        ratio = statistics.median(one / base for one, base in zip(each, alone, strict=True))
        spent = 1000 * statistics.median(each) / len(sources)
        sys.stdout.write(f"  {part:<28}{spent:8.1f} ms of CPU per image   {ratio:.2f} of scores alone\n")


def _parts(job: ScoringJob, sources: list[Source]) -> dict[str, Callable[[Path], object]]:
    options = stream_options(workers=0, input_check="note")

    def scores(folder: Path) -> None:
        for _ in job.classify(sources, options):
            pass

    def with_maps(folder: Path) -> None:
        for _ in job.classify(sources, options, maps=open_map_files(job, folder)):
            pass

    def explained(*outputs: str) -> Callable[[Path], None]:
        def run(folder: Path) -> None:
            writer = MapWriter(folder, outputs, stretch=False)
            maps = finding_maps(job, tokens="page" in outputs)
            for image in maps.explain(sources, options, picture=picture_side(outputs)):
                writer.write(image)

        return run

    return {
        "scores alone": scores,
        "classify --maps": with_maps,
        "explain --write maps": explained("maps"),
        "explain": explained(*DEFAULT_OUTPUTS),
    }


if __name__ == "__main__":
    main()
