"""Measure how far around a patch its features look, by the gradient of patches with respect to the input.

    python benchmarks/receptive_field.py manifest.csv --split valid --model tier-small --limit 24

For patches that are not at the border: the share of the squared gradient of a random projection of the
features that lies in the patch's own square, and in the square of it and its eight neighbours, as means
over the images.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tier_cli.datasets.manifest import read_manifest
from tier_cli.imaging.preprocess import prepare
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.modeling import TierModel


def shares(model: TierModel, pixels: Any, generator: torch.Generator) -> list[tuple[float, float]]:
    """Return for each inner patch of one image (3, S, S) the two shares of its squared gradient."""
    given = torch.from_numpy(pixels)[None].requires_grad_(True)
    features = model.encode_images(given)
    (rows, columns), side, found = features.grid, given.shape[-1], []
    high, wide = side // rows, side // columns
    for row in range(1, rows - 1):
        for column in range(1, columns - 1):
            direction = torch.randn(features.patches.shape[-1], generator=generator)
            value = (features.patches[0, row * columns + column] * direction).sum()
            (gradient,) = torch.autograd.grad(value, given, retain_graph=True)
            power = (gradient[0] ** 2).sum(dim=0)
            top, left = row * high, column * wide
            own = power[top : top + high, left : left + wide].sum()
            around = power[top - high : top + 2 * high, left - wide : left + 2 * wide].sum()
            found.append((float(own / power.sum()), float(around / power.sum())))
    return found


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--split")
    parser.add_argument("--model", default="tier-small")
    parser.add_argument("--limit", type=int, default=24)
    asked = parser.parse_args()
    manifest = read_manifest(asked.manifest)
    if asked.split:
        manifest = manifest.split(asked.split)
    checkpoint = open_checkpoint(asked.model)
    model = TierModel.from_pretrained(checkpoint.path).eval().requires_grad_(False)
    spec, generator = checkpoint.preprocessing, torch.Generator().manual_seed(0)
    means = []
    for path in manifest.paths[: asked.limit]:
        radiograph = read_radiograph(path, ReadOptions(rendering=spec.rendering))
        means.append(np.mean(shares(model, prepare(radiograph.pixels, spec).pixels, generator), axis=0))
    own, around = np.mean(means, axis=0)
    line = {"model": checkpoint.name, "images": len(means), "own": round(own, 3), "around": round(around, 3)}
    sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
