"""Measure how often 95 % intervals of differences between two models hold the truth.

Run: python benchmarks/difference_coverage.py

Scores of the two models are normal and correlate, and calls are made at fixed thresholds, so the true
difference of their sensitivities is known. Each design is drawn many times. The table gives the share of
intervals that hold the truth: percentiles of the paired bootstrap over patients, and the intervals of
`tier eval`.
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
from tier_cli.metrics.statistics import decisions


@dataclass(frozen=True)
class Design:
    """A kind of test set.

    Parameters
    ----------
    name
        Text for the table.
    positives
        Patients with each of the findings; as many have none of them.
    first, second
        The true sensitivities of the two models.
    correlation
        Correlation of their scores.
    images
        Images per patient, whose scores correlate by one half.
    """

    name: str
    positives: tuple[int, ...]
    first: float
    second: float
    correlation: float = 0.6
    images: int = 1


DESIGNS = (
    Design("200 positives, 0.80 and 0.70", (200,), 0.80, 0.70),
    Design("50 positives, 0.80 and 0.70", (50,), 0.80, 0.70),
    Design("50 positives, 0.80 and 0.80", (50,), 0.80, 0.80),
    Design("20 positives, 0.80 and 0.70", (20,), 0.80, 0.70),
    Design("20 positives, 0.95 and 0.85", (20,), 0.95, 0.85),
    Design("20 positives, 0.95 and 0.95", (20,), 0.95, 0.95),
    Design("20 positives, 0.95 and 0.85, correlation 0.9", (20,), 0.95, 0.85, 0.9),
    Design("20 positives, 3 images each, 0.80 and 0.70", (20,), 0.80, 0.70, 0.6, 3),
    Design("10 positives, 0.90 and 0.70", (10,), 0.90, 0.70),
    Design("10 positives, 0.90 and 0.90", (10,), 0.90, 0.90),
    Design("mean of 14, 6 with 2 positives, 0.90 and 0.80", (2,) * 6 + (20,) * 8, 0.90, 0.80),
)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=1000, help="Test sets drawn per design.")
    parser.add_argument("--replicates", type=int, default=500, help="Resamplings of patients per test set.")
    given = parser.parse_args()
    sys.stdout.write(f"{'design':46} percentile   tier    width percentile   width tier\n")
    for design in DESIGNS:
        held, widths = [], []
        for difference in _differences(design, given.sets, given.replicates):
            plain = Estimate(difference.point, difference.replicates)
            bounds = [one.interval()[0] for one in (plain, difference)]
            held.append([low - 1e-9 <= design.first - design.second <= high + 1e-9 for low, high in bounds])
            widths.append([high - low for low, high in bounds])
        shares, mean = np.mean(held, axis=0), np.mean(widths, axis=0)
        sys.stdout.write(
            f"{design.name:46} {shares[0]:10.3f} {shares[1]:6.3f} {mean[0]:19.3f} {mean[1]:12.3f}\n"
        )
        sys.stdout.flush()


def _differences(design: Design, sets: int, replicates: int) -> Iterator[Estimate]:
    """Yield the difference of the sensitivities, or of their means, on each drawn test set."""
    findings, most = len(design.positives), max(design.positives)
    patients = np.repeat(np.arange(2 * most), design.images)
    labels = (np.arange(2 * most)[:, None] < np.array(design.positives)).astype(float)[patients]
    for seed in range(sets):
        rng = np.random.default_rng([seed, most])
        both = _normal(rng, (2 * most, findings), patients)
        calls = []
        for sensitivity in (design.first, design.second):
            own = _normal(rng, (2 * most, findings), patients)
            scores = np.sqrt(design.correlation) * both + np.sqrt(1 - design.correlation) * own
            calls.append((scores < norm.ppf(sensitivity)).astype(float))
        statistics = {number: decisions(labels, one) for number, one in enumerate(calls)}
        found = resample(statistics, patients.astype(str), replicates=replicates, seed=seed)
        first, second = (found[number]["sensitivity"] for number in (0, 1))
        yield first.macro - second.macro


def _normal(rng: np.random.Generator, shape: tuple[int, int], patients: np.ndarray) -> Floats:
    """Draw normal scores of images that correlate by one half within a patient, if it has several."""
    shared = rng.normal(size=shape)[patients]
    if len(patients) == shape[0]:
        return shared
    return np.sqrt(0.5) * shared + np.sqrt(0.5) * rng.normal(size=shared.shape)


if __name__ == "__main__":
    main()
