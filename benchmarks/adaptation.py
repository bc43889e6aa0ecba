"""Measure what `tier adapt` gains: python benchmarks/adaptation.py MANIFEST.csv MODEL [MODEL ...]

Fits on N images of patients drawn from one split and evaluates on another. The gain is the mean AUC of the
findings minus that of the checkpoint's own scores, averaged over the draws, with a 95 % interval over the
evaluated patients. The models must not have seen the patients of either split.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.evaluation.truth import Labelled
from tier_cli.fitting.adapt import fit_adaptation
from tier_cli.metrics.bootstrap import Estimate, resample
from tier_cli.metrics.statistics import ranking
from tier_cli.pipeline.encode import embeddings
from tier_cli.pipeline.scoring_job import ScoringJob, open_job
from tier_cli.pipeline.stream import StreamOptions


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--fit", default="valid", help="split to draw labelled images from")
    parser.add_argument("--judge", default="test", help="split to evaluate on")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--replicates", type=int, default=1000)
    given = parser.parse_args()
    manifest = read_manifest(given.manifest)
    lines = [
        "| model | own | images | gain | mixed in | draws that gain |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for model in given.models:
        job = open_job(model, device="cpu")
        fit, judge = (Part(job, manifest.split(name)) for name in (given.fit, given.judge))
        areas = {"own": ranking(judge.labels, judge.own, auprc=False)}
        own = resample(areas, judge.patients, replicates=given.replicates)["own"]["auc"]
        for size in given.sizes:
            gains, mixes = [], []
            for draw in range(given.draws):
                mix, gain = one(job, fit, judge, size, draw, given.replicates)
                gains.append(gain)
                mixes.append(mix)
            lines.append(row(job.checkpoint.name, own, size, gains, mixes))
    sys.stdout.write("\n".join(lines) + "\n")


class Part:
    """Hold the labels, own scores and embeddings of one split's images."""

    def __init__(self, job: ScoringJob, manifest: Manifest):
        found = list(embeddings(manifest.paths, job.members[0], StreamOptions()))
        there = np.array([isinstance(one, np.ndarray) for one in found])
        self.pooled = np.concatenate([one for one in found if isinstance(one, np.ndarray)]).astype(np.float64)
        self.own = job.members[0].own_scores(self.pooled)
        self.labels = manifest.labels(job.findings)[there]
        self.patients = manifest.patients()[there]

    def draw(self, size: int, seed: int) -> np.ndarray:
        """Return the rows of about `size` images, taking random patients one by one with all their images."""
        order = np.random.default_rng(seed).permutation(np.unique(self.patients))
        rows = np.concatenate([np.flatnonzero(self.patients == patient) for patient in order])
        return rows[:size]


def one(
    job: ScoringJob, fit: Part, judge: Part, size: int, draw: int, replicates: int
) -> tuple[float, Estimate]:
    """Fit on one draw; return the weight mixed in and the gain in mean AUC."""
    rows = fit.draw(size, draw)
    truth = Labelled(job.findings.ids, fit.labels[rows], fit.patients[rows])
    adapted = fit_adaptation(fit.pooled[rows], fit.own[rows], truth, job.findings.ids)
    scores = judge.own
    if adapted.adaptation is not None:
        scores = adapted.adaptation.apply(judge.pooled, judge.own)
    areas = {
        name: ranking(judge.labels, values, auprc=False)
        for name, values in (("adapted", scores), ("own", judge.own))
    }
    found = resample(areas, judge.patients, replicates=replicates)
    return adapted.facts["mix"], (found["adapted"]["auc"] - found["own"]["auc"]).macro


def row(name: str, own: Estimate, size: int, gains: list[Estimate], mixes: list[float]) -> str:
    """Format one line of the table."""
    points = np.array([gain.point[0] for gain in gains])
    mean = Estimate(np.array([points.mean()]), np.mean([gain.replicates for gain in gains], axis=0))
    low, high = mean.interval()[0]
    cells = [name, f"{own.macro.point[0]:.3f}", str(size), f"{points.mean():+.3f} [{low:+.3f}, {high:+.3f}]"]
    cells += [f"{np.mean(mixes):.2f}", f"{int((points > 0).sum())} of {len(points)}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
