"""Plot the results of learn.py like figures 6 and 7 of the paper, and a few phantoms with their boxes.

python benchmarks/phantom/plot.py WORK [--output docs/images]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from tier_cli.phantom.cohort import cases
from tier_cli.phantom.lesions import FINDINGS

KINDS = {"plain": ("both lambdas 0", "tab:blue"), "tier": ("lambdas 0.2 and 0.1", "tab:orange")}
COLOURS = dict(zip(FINDINGS, ("tab:red", "gold", "tab:cyan", "lime", "violet"), strict=True))


def main() -> None:
    """Write phantom-similarities.png, if there are results, and phantoms.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[2] / "docs" / "images")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    results = given.work / "results.json"
    if results.is_file():
        similarities(json.loads(results.read_text())["runs"], given.output / "phantom-similarities.png")
    phantoms(given.output / "phantoms.png")


def similarities(runs: dict[str, Any], file: Path) -> None:
    """Plot similarities by rank over patches and over tokens, and the share inside the boxes."""
    figure, (patches, tokens, boxes) = plt.subplots(1, 3, figsize=(12, 3.6), constrained_layout=True)
    for number, (kind, (label, colour)) in enumerate(KINDS.items()):
        chosen = [runs[name] for name in sorted(runs) if name.rsplit("-", 1)[0] == kind]
        for axis, key in ((patches, "profile_over_patches"), (tokens, "profile_over_tokens")):
            for seed, run in enumerate(chosen):
                ranks = np.arange(1, len(run[key]) + 1)
                axis.plot(ranks, run[key], color=colour, lw=1.2, label=None if seed else label)
        shares = np.array([[run["boxes"][name]["share"] for name in FINDINGS] for run in chosen])
        places = np.arange(len(FINDINGS)) + 0.3 * number
        boxes.bar(places, shares.mean(axis=0), 0.3, color=colour)
        boxes.plot(np.repeat(places[None], len(shares), 0).ravel(), shares.ravel(), "k.", ms=4)
    chance = [next(iter(runs.values()))["boxes"][name]["chance"] for name in FINDINGS]
    boxes.bar(np.arange(len(FINDINGS)) + 0.6, chance, 0.3, color="lightgrey", label="share of the patches")
    boxes.set_xticks(np.arange(len(FINDINGS)) + 0.3, FINDINGS, rotation=20)
    boxes.set_ylabel("share of similarity in the boxes")
    boxes.margins(y=0.25)  # room for the legend
    boxes.legend()
    patches.set(xlabel="rank of the patch (for each token)", ylabel="cosine of token and patch")
    tokens.set(xlabel="rank of the token (for each patch)", ylabel="cosine of token and patch")
    patches.legend()
    figure.suptitle("Unseen synthetic chests, three seeds each")
    figure.savefig(file, dpi=110)


def phantoms(file: Path, count: int = 10) -> None:
    """Plot a few phantoms with their boxes and reports."""
    figure, axes = plt.subplots(2, count // 2, figsize=(13, 6), constrained_layout=True)
    for axis, case in zip(axes.flat, _one_per_patient(count), strict=True):
        image = case.render()
        axis.imshow(image.pixels, cmap="gray", vmin=0, vmax=1)
        axis.axis("off")
        for name, found in image.boxes.items():
            for x0, y0, x1, y1 in found:
                axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=COLOURS[name], lw=1.5))
        axis.set_title(_wrapped(case.text), fontsize=7)
    handles = [Rectangle((0, 0), 1, 1, fill=False, ec=colour, lw=2) for colour in COLOURS.values()]
    figure.legend(handles, COLOURS, loc="outside lower center", ncols=len(COLOURS))
    figure.suptitle("SYNTHETIC chest phantoms (seed 0): nobody's image")
    figure.savefig(file, dpi=90)


def _one_per_patient(count: int) -> list[Any]:
    first: dict[str, Any] = {}
    for case in cases(8 * count, 0, 384):
        first.setdefault(case.patient, case)
    return list(first.values())[:count]


def _wrapped(text: str, width: int = 46) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width))


if __name__ == "__main__":
    main()
