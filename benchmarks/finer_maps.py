"""Measure what finer maps cost, and what they gain in hitting the boxes of a manifest.

    python benchmarks/finer_maps.py manifest.csv --split valid --model tier-small

For each variant of the maps: the pointing game and the AUC of the pixels in the boxes, as means over the
cases with 95 % intervals from resampling patients; the differences from the maps as they are, on the same
resamplings; and the processor time as a multiple of theirs. Choose a split that the model was not trained
on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.datasets.manifest import read_manifest
from tier_cli.datasets.regions import regions
from tier_cli.evaluation.sections.grounding_cases import case_of, targets_of
from tier_cli.evaluation.sections.grounding_measures import inside_auc, pointing
from tier_cli.imaging.discover import Source
from tier_cli.maps.similarity import finding_directions
from tier_cli.pipeline.explain import AS_IT_IS, Finer, explain
from tier_cli.pipeline.scoring_job import ScoringJob, open_job
from tier_cli.pipeline.stream import StreamOptions

Floats = NDArray[np.float64]


def measured(
    job: ScoringJob, manifest: Any, rows: list[int], finer: Finer
) -> tuple[Floats, list[str], float]:
    """Return (K, 3) pointing, its chance and AUC of each case, the patients, and the processor time."""
    unknown: Counter[str] = Counter()
    every = regions(manifest)
    directions = dict(
        zip(job.findings.ids, finding_directions(job.vectors, job.checkpoint.scoring), strict=True)
    )
    found, owners = [], []
    start = time.process_time()
    sources = [Source(manifest.paths[row]) for row in rows]
    for row, seen in zip(rows, explain(sources, job, StreamOptions(workers=0), 64, finer=finer), strict=True):
        if seen.patches is None:
            continue
        for target in targets_of(every[row], job.findings, unknown):
            case = case_of(target.regions, seen.patches, directions[target.finding])
            if not isinstance(case, str):
                found.append((pointing(case), float(case.hits.mean()), inside_auc(case)))
                owners.append(str(manifest.patients()[row]))
    return np.array(found), owners, time.process_time() - start


def intervals(values: Floats, patients: list[str], replicates: int) -> list[list[float]]:
    """Return for each column (K, C) its mean and the ends of its interval."""
    names, of_case = np.unique(patients, return_inverse=True)
    weights = np.random.default_rng(0).multinomial(
        len(names), np.full(len(names), 1 / len(names)), replicates
    )
    drawn, there = weights[:, of_case].astype(np.float64), np.isfinite(values)
    means = drawn @ np.where(there, values, 0) / (drawn @ there)
    ends = np.percentile(means, [2.5, 97.5], axis=0)
    found: list[list[float]] = np.round([np.nanmean(values, axis=0), *ends], 4).T.tolist()
    return found


def main() -> None:
    """Measure and print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--split")
    parser.add_argument("--model", action="append")
    parser.add_argument("--overlap", type=int, action="append")
    parser.add_argument("--size", type=int, action="append")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--replicates", type=int, default=2000)
    asked = parser.parse_args()
    manifest = read_manifest(asked.manifest)
    if asked.split:
        manifest = manifest.split(asked.split)
    rows = [row for row, found in enumerate(regions(manifest)) if found][: asked.limit]
    for model in asked.model or ["tier-small"]:
        job = open_job(model, engine="torch", device="cpu")
        usual, patients, seconds = measured(job, manifest, rows, AS_IT_IS)
        variants = [Finer(overlap=count) for count in asked.overlap or [2, 4]]
        variants += [Finer(size=size) for size in asked.size or [448]]
        for finer in (AS_IT_IS, *variants):
            values, _, own = (
                (usual, patients, seconds) if finer == AS_IT_IS else measured(job, manifest, rows, finer)
            )
            line = {
                "model": job.checkpoint.name,
                "overlap": finer.overlap,
                "size": finer.size,
                "images": len(rows),
                "cases": len(values),
                "patients": len(set(patients)),
                **dict(
                    zip(
                        ("pointing", "by chance", "auc"),
                        intervals(values, patients, asked.replicates),
                        strict=True,
                    )
                ),
                **dict(
                    zip(
                        ("pointing gain", "chance gain", "auc gain"),
                        intervals(values - usual, patients, asked.replicates),
                        strict=True,
                    )
                ),
                "time": round(own / seconds, 2),
            }
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
