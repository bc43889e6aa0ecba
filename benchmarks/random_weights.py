"""Compare the maps of a checkpoint with those of the same model with random weights.

    python benchmarks/random_weights.py manifest.csv --split valid --model tier-small

In the manner of Adebayo et al. (Sanity Checks for Saliency Maps, NeurIPS 2018): the image side is set to
random weights from its end to its beginning, first the projection, then more and more of the tower. If the
maps stay the same, they do not show what the model has learned. For each step: the rank correlation of a
map with the trained model's (Spearman, over the patches), how far a map spreads as a share of the trained
model's, and the AUC of the pixels in the boxes, as means over the cases with 95 % intervals from resampling
patients.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from finer_maps import intervals
from numpy.typing import NDArray

from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.datasets.regions import regions
from tier_cli.errors import InputError
from tier_cli.evaluation.sections.grounding_cases import case_of, targets_of
from tier_cli.evaluation.sections.grounding_measures import inside_auc
from tier_cli.maps.similarity import finding_directions
from tier_cli.model.torch_engine import TorchEngine
from tier_cli.pipeline.encode import patch_maps
from tier_cli.pipeline.scoring_job import ScoringJob, open_job
from tier_cli.pipeline.stream import StreamOptions

Floats = NDArray[np.float64]
# Shares of the tower's layers, counted from its end, besides the projection.
SHARES = (0.0, 0.25, 0.5, 1.0)


def randomise(model: Any, share: float, seed: int) -> int:
    """Set the image projection and a share of the tower's last layers to random weights; return how many.

    Layers are initialised as torch does by default, with the running statistics of an untrained model.
    """
    import torch

    tower = [module for module in model.image_tower.modules() if hasattr(module, "reset_parameters")]
    head = [module for module in model.image_projection.modules() if hasattr(module, "reset_parameters")]
    chosen = [*head, *tower[len(tower) - round(share * len(tower)) :]]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in chosen:
            module.reset_parameters()
    return len(chosen)


def maps_of(job: ScoringJob, manifest: Manifest) -> tuple[Floats, Floats, list[str]]:
    """Return the maps (K, P) of all cases with boxes, the AUC (K,) in the boxes, and the patients."""
    directions = dict(
        zip(job.findings.ids, finding_directions(job.vectors, job.checkpoint.scoring), strict=True)
    )
    maps, aucs, patients = [], [], []
    seen = patch_maps(manifest.paths, job.members[0], StreamOptions(workers=0))
    for row, one, owner in zip(regions(manifest), seen, manifest.patients(), strict=True):
        if isinstance(one, InputError):
            continue
        for target in targets_of(row, job.findings, Counter()):
            case = case_of(target.regions, one, directions[target.finding])
            if not isinstance(case, str):
                maps.append(case.similarities)
                aucs.append(inside_auc(case))
                patients.append(str(owner))
    return np.array(maps), np.array(aucs), patients


def correlations(first: Floats, second: Floats) -> Floats:
    """Return Spearman's correlation (K,) of each of K maps (K, P) with its counterpart."""
    from scipy.stats import rankdata

    ranks = [rankdata(one, axis=1) for one in (first, second)]
    centred = [one - one.mean(axis=1, keepdims=True) for one in ranks]
    lengths = np.linalg.norm(centred[0], axis=1) * np.linalg.norm(centred[1], axis=1)
    found: Floats = (centred[0] * centred[1]).sum(axis=1) / lengths
    return found


def main() -> None:
    """Measure and print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--split")
    parser.add_argument("--model", default="tier-small")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replicates", type=int, default=2000)
    asked = parser.parse_args()
    manifest = read_manifest(asked.manifest)
    if asked.split:
        manifest = manifest.split(asked.split)
    boxed = np.flatnonzero([bool(found) for found in regions(manifest)])[: asked.limit]
    manifest = manifest.where(np.isin(np.arange(len(manifest)), boxed))
    job = open_job(asked.model, engine="torch", device="cpu")
    if not isinstance(job.engine, TorchEngine):
        raise TypeError("the torch engine is needed")
    trained, aucs, patients = maps_of(job, manifest)
    for share in (None, *SHARES):
        layers, maps, now = 0, trained, aucs
        if share is not None:
            layers = randomise(job.engine.model, share, asked.seed)
            maps, now, _ = maps_of(job, manifest)
        spread = maps.std(axis=1) / trained.std(axis=1)
        columns = np.stack([correlations(trained, maps), spread, now], axis=1)
        names = ("correlation", "spread", "auc")
        line = {"model": job.checkpoint.name, "random share of the tower": share, "random layers": layers}
        line |= {"cases": len(maps), "patients": len(set(patients)), "seed": asked.seed}
        line |= dict(zip(names, intervals(columns, patients, asked.replicates), strict=True))
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
