"""Measure how often 95 % intervals of the AUC hold the truth. Run: python benchmarks/interval_coverage.py

Scores are normal, so the true AUC is known. Each design is drawn many times; the table gives the share of
intervals that hold the truth: percentiles of the bootstrap over patients, the
bias-corrected and accelerated bootstrap (BCa), and the intervals of `tier eval` (logit-transformed, standard
error by patient). A share near 0.95 is right; a lower one means that intervals are too narrow.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from tier_cli.metrics.bootstrap import Estimate, resample
from tier_cli.metrics.ranking import Floats
from tier_cli.metrics.statistics import ranking


@dataclass(frozen=True)
class Design:
    """A kind of test set.

    Parameters
    ----------
    name
        Text for the table.
    positives
        Patients with each of the findings.
    patients
        All patients.
    auc
        The true AUC of every finding.
    images
        Images per patient, whose scores correlate by one half.
    spread
        Standard deviation of the scores of positives; that of negatives is 1.
    """

    name: str
    positives: tuple[int, ...]
    patients: int
    auc: float
    images: int = 1
    spread: float = 1.0


DESIGNS = (
    Design("200 patients, 100 with it, AUC 0.80", (100,), 200, 0.80),
    Design("100 patients, 10 with it, AUC 0.80", (10,), 100, 0.80),
    Design("100 patients, 10 with it, AUC 0.90", (10,), 100, 0.90),
    Design("100 patients, 10 with it, AUC 0.97", (10,), 100, 0.97),
    Design("the same, 3 images each, AUC 0.90", (10,), 100, 0.90, 3),
    Design("100 patients, 5 with it, AUC 0.90", (5,), 100, 0.90),
    Design("100 patients, 2 with it, AUC 0.80", (2,), 100, 0.80),
    Design("mean of 14, 6 with 2 positives, AUC 0.80", (2,) * 6 + (20,) * 8, 200, 0.80),
    Design("mean of 14, 6 with 1 positive, AUC 0.80", (1,) * 6 + (20,) * 8, 200, 0.80),
    Design("10 of 100, positives twice as spread, 0.80", (10,), 100, 0.80, 1, 2.0),
    Design("10 of 100, positives twice as spread, 0.90", (10,), 100, 0.90, 1, 2.0),
    Design("20 of 1000, positives twice as spread, 0.95", (20,), 1000, 0.95, 1, 2.0),
)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=1000, help="Test sets drawn per design.")
    parser.add_argument("--replicates", type=int, default=500, help="Resamplings of patients per test set.")
    parser.add_argument("--first", type=int, default=0, help="Designs to skip.")
    given = parser.parse_args()
    sys.stdout.write(f"{'design':42} percentile    BCa   tier    width percentile   width tier\n")
    for design in DESIGNS[given.first :]:
        held, widths = [], []
        for estimate in _estimates(design, given.sets, given.replicates):
            bounds = [_percentile(estimate), _bca(estimate), estimate.interval()[0]]
            held.append([low <= design.auc <= high for low, high in bounds])
            widths.append([high - low for low, high in bounds])
        shares, mean = np.mean(held, axis=0), np.mean(widths, axis=0)
        sys.stdout.write(f"{design.name:42} {shares[0]:10.3f} {shares[1]:6.3f} {shares[2]:6.3f}")
        sys.stdout.write(f" {mean[0]:12.3f} {mean[2]:16.3f}\n")
        sys.stdout.flush()


def _estimates(design: Design, sets: int, replicates: int) -> Iterator[Estimate]:
    """Yield the estimate of the AUC, or of its mean, on each drawn test set."""
    patients = np.repeat(np.arange(design.patients), design.images)
    shift = np.sqrt(1 + design.spread**2) * norm.ppf(design.auc)
    shape = (len(patients), len(design.positives))
    for seed in range(sets):
        rng = np.random.default_rng([seed, design.patients])
        labels = np.zeros((design.patients, shape[1]))
        for number, count in enumerate(design.positives):
            labels[rng.choice(design.patients, count, replace=False), number] = 1
        labels = labels[patients]
        shared = rng.normal(size=(design.patients, shape[1]))[patients]
        noise = np.sqrt(0.5) * shared + np.sqrt(0.5) * rng.normal(size=shape)
        scores = noise * np.where(labels == 1, design.spread, 1.0) + shift * labels
        statistic = ranking(labels, scores, auprc=False)
        yield resample({0: statistic}, patients.astype(str), replicates=replicates, seed=seed)[0]["auc"].macro


def _percentile(estimate: Estimate) -> Floats:
    drawn = estimate.replicates[np.isfinite(estimate.replicates[:, 0]), 0]
    bounds: Floats = np.quantile(drawn, (0.025, 0.975)) if drawn.size else np.full(2, np.nan)
    return bounds


def _bca(estimate: Estimate) -> Floats:
    """Return the BCa interval (Efron, 1987) with the acceleration of the influences by patient."""
    drawn = estimate.replicates[np.isfinite(estimate.replicates[:, 0]), 0]
    if not drawn.size or estimate.influence is None:
        return np.full(2, np.nan)
    below = ((drawn < estimate.point[0]).mean() + (drawn <= estimate.point[0]).mean()) / 2
    shift = norm.ppf(np.clip(below, 0.5 / len(drawn), 1 - 0.5 / len(drawn)))
    parts = estimate.influence[:, 0]
    squares = (parts**2).sum()
    speed = (parts**3).sum() / (6 * squares**1.5) if squares > 0 else 0.0
    ends = shift + norm.ppf((0.025, 0.975))
    bounds: Floats = np.quantile(drawn, norm.cdf(shift + ends / (1 - speed * ends)))
    return bounds


if __name__ == "__main__":
    main()
