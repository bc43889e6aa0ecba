"""Measure an input check: python benchmarks/input_check.py MODEL --chests MANIFEST.csv [--pass NAME=PATH ...]

MODEL holds an input check (`tier model input-check`). The table says which share of the chests of a split
passes, and which share of other pictures is caught, each with Wilson's 95 % interval over pictures: chests of
the same split turned, inverted or cut; noise and pages of text that this program draws; and files of other
kinds, given with --caught NAME=PATH. Chests of other hospitals are given with --pass NAME=PATH. A PATH is a
file, a folder, a glob pattern or a list of paths, as for `tier classify`; unreadable pictures do not count.
The patients of the split must be those of neither the fit nor the limits.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from tier_cli.datasets.manifest import read_manifest
from tier_cli.errors import InputError
from tier_cli.imaging.discover import discover
from tier_cli.imaging.preprocess import prepare
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph
from tier_cli.model.copying import write_card_section
from tier_cli.pipeline.input_checks import Checker, open_checker
from tier_cli.pipeline.scoring_job import open_job
from tier_cli.results.record import InputCheckResult

Image = NDArray[np.float32]
# What this program does to a chest, by the words of `looks_like` where the check can name it.
ALTERED = {
    "rotated_90": lambda pixels: np.rot90(pixels, -1),
    "rotated_180": lambda pixels: np.rot90(pixels, 2),
    "rotated_270": lambda pixels: np.rot90(pixels, 1),
    "inverted": lambda pixels: 1 - pixels,
    "mirrored": lambda pixels: pixels[:, ::-1],
    "upper third": lambda pixels: pixels[: len(pixels) // 3],
    "a quarter, mirrored": lambda pixels: pixels[: len(pixels) // 2, : pixels.shape[1] // 2][:, ::-1],
}
WORDS = np.array(["findings", "impression", "none", "heart", "lungs", "clear", "department", "radiology"])


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--chests", required=True, help="manifest with a column split")
    parser.add_argument("--split", default="test")
    parser.add_argument(
        "--altered", type=int, default=80, help="how many chests are turned, inverted and cut"
    )
    parser.add_argument("--drawn", type=int, default=40, help="how many pictures of noise and text are drawn")
    parser.add_argument("--pass", dest="passing", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--caught", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    parser.add_argument("--card", action="store_true", help="also write the table into the card of MODEL")
    given = parser.parse_args()
    checker, note = open_checker(open_job(given.model, device="cpu").members, "note")
    if checker is None:
        sys.exit(note or f"{given.model} holds no input check")
    rng = np.random.default_rng(0)
    paths = read_manifest(given.chests).split(given.split).paths
    chosen = rng.permutation(paths)[: given.altered].tolist()
    rows = [row(f"chests, split {given.split}", True, check(checker, images(checker, paths)))]
    for name, path in (text.split("=", 1) for text in given.passing):
        rows.append(row(name, True, check(checker, images(checker, found(path)))))
    for name, alter in ALTERED.items():
        altered = (np.ascontiguousarray(alter(image)) for image in images(checker, chosen))
        rows.append(row(name, False, check(checker, altered)))
    rows.append(row("noise", False, check(checker, noise(rng, given.drawn))))
    rows.append(row("page of text", False, check(checker, pages(rng, given.drawn))))
    for name, path in (text.split("=", 1) for text in given.caught):
        rows.append(row(name, False, check(checker, images(checker, found(path)))))
    sys.stdout.write(table(rows))
    if given.card:
        folder = checker.scorer.checkpoint.path
        text = f"Intervals are Wilson's 95 %. Check: `{checker.check.hash[:12]}`.\n\n{table(rows)}"
        write_card_section(folder, "Input check, measured", text)
    if given.json:
        given.json.write_text(json.dumps({"check": checker.check.hash, "rows": rows}, indent=1) + "\n")


def found(path: str) -> list[str]:
    return [source.path for source in discover([path]) if source.error is None]


def images(checker: Checker, paths: list[str]) -> Iterator[Image]:
    """Yield the radiographs that can be read, whatever their header says."""
    rendering = checker.scorer.checkpoint.preprocessing.rendering
    options = ReadOptions(rendering=rendering, views="all", accept_any=True)
    for path in paths:
        try:
            yield read_radiograph(path, options).pixels
        except InputError as error:
            sys.stderr.write(f"{error}\n")


def check(checker: Checker, pictures: Iterator[Image]) -> list[InputCheckResult]:
    """Check each picture."""
    spec = checker.scorer.checkpoint.preprocessing
    results: list[InputCheckResult | None] = []
    for picture in pictures:
        pixels = prepare(picture, spec).pixels[None]
        results += checker.results(checker.scorer.encode(pixels), pixels)
    return [result for result in results if result is not None]


def noise(rng: np.random.Generator, count: int) -> Iterator[Image]:
    """Draw uniform noise of grains from 1 to 32 pixels."""
    for number in range(count):
        grain = 2 ** (number % 6)
        yield np.kron(rng.random((256 // grain, 256 // grain)), np.ones((grain, grain))).astype(np.float32)


def pages(rng: np.random.Generator, count: int) -> Iterator[Image]:
    """Draw pages of black text on white paper, as a scanner shows them."""
    from PIL import Image as PillowImage
    from PIL import ImageDraw, ImageFont

    for _ in range(count):
        page = PillowImage.new("L", (620, 877), int(rng.integers(225, 256)))
        draw, font = ImageDraw.Draw(page), ImageFont.load_default(int(rng.integers(11, 26)))
        for top in range(40, 830, int(rng.integers(18, 48))):
            draw.text((40, top), " ".join(rng.choice(WORDS, rng.integers(3, 14))), font=font, fill=30)
        yield np.asarray(page, np.float32) / np.float32(255)


def row(name: str, passes: bool, results: list[InputCheckResult]) -> dict[str, Any]:
    """Count what passes or is caught, and what the caught ones are said to look like."""
    looks = Counter(result.looks_like for result in results)
    count = looks[""] if passes else len(results) - looks[""]
    low, high = binomtest(count, len(results)).proportion_ci(method="wilson") if results else (0.0, 1.0)
    return {
        "pictures": name,
        "wanted": "pass" if passes else "caught",
        "n": len(results),
        "count": count,
        "interval": [round(float(low), 4), round(float(high), 4)],
        "looks_like": dict(looks),
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| pictures | n | wanted | share | 95 % interval | named rightly |", "|---|---|---|---|---|---|"]
    for one in rows:
        low, high = one["interval"]
        share = f"{one['count'] / one['n']:.1%}" if one["n"] else "-"
        named = f"{one['looks_like'].get(one['pictures'], 0)}" if one["pictures"] in ALTERED else ""
        cells = (one["pictures"], one["n"], one["wanted"], share, f"{low:.1%} to {high:.1%}", named)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
