"""Measure time and memory of a large evaluation's intervals. Run: python benchmarks/bootstrap.py

The default is 14 findings, 25,000 images of 10,000 patients and 1,000 resamplings: first AUC and AUPRC alone,
then with calls and probabilities, then also within two groups, then with thresholds chosen anew on as many
images.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tier_cli.evaluation.build import measure_units
from tier_cli.evaluation.divisions import divide
from tier_cli.evaluation.measure import Resampling
from tier_cli.evaluation.thresholds import Thresholds, select_thresholds
from tier_cli.evaluation.truth import Labelled
from tier_cli.evaluation.unit_scores import UnitScores
from tier_cli.metrics.bootstrap import resample
from tier_cli.metrics.statistics import ranking
from tier_cli.scoring.operating_points import parse_rule


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--findings", type=int, default=14)
    parser.add_argument("--images", type=int, default=25_000)
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--replicates", type=int, default=1000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    shape = (given.images, given.findings)
    labels = (rng.random(shape) < 0.08).astype(float)
    scores = rng.normal(size=shape) + labels
    patients = rng.integers(0, given.patients, given.images).astype(str)
    thresholds = Thresholds("", "", np.full(given.findings, 0.5))
    whole = UnitScores("scores", scores, thresholds, 1 / (1 + np.exp(-scores)))
    truth = Labelled(tuple(f"f{number}" for number in range(given.findings)), labels, patients)
    sex = divide("sex", rng.choice(["F", "M"], given.images))
    how = Resampling(given.replicates)

    def measure(name: str, work: Callable[[], object]) -> None:
        start = time.perf_counter()
        work()
        seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sys.stdout.write(f"{name:40} {seconds:6.1f} s, peak so far {peak:5.0f} MiB\n")

    measure(
        "AUC and AUPRC",
        lambda: resample({0: ranking(labels, scores)}, patients, replicates=given.replicates),
    )
    measure(
        "with calls and probabilities",
        lambda: resample({0: whole.statistic(labels)}, patients, replicates=given.replicates),
    )
    measure("within two groups", lambda: measure_units(truth, [whole], [sex], how))
    chosen = select_thresholds(truth, rng.normal(size=shape) + labels, parse_rule("youden"), "valid")
    anew = replace(whole, thresholds=chosen)
    measure("thresholds chosen anew", lambda: measure_units(truth, [anew], [], how))


if __name__ == "__main__":
    main()
