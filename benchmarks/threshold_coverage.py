"""Measure how often 95 % intervals hold the truth if thresholds are chosen on data.

Run: python benchmarks/threshold_coverage.py

Scores are normal with equal spread, so the threshold that a rule would choose on all patients, and its
sensitivity and specificity, are known. Many pairs of a selection split and a test set are drawn. The table
gives the shares of intervals that hold these: with the threshold fixed, and with the threshold chosen anew in
each resampling (percentiles, and what `tier eval` gives). A share near 0.95 is right.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy as np
from scipy.stats import norm

from tier_cli.evaluation.measure import Resampling
from tier_cli.evaluation.rechosen import rechosen
from tier_cli.evaluation.thresholds import select_thresholds
from tier_cli.evaluation.truth import Labelled
from tier_cli.evaluation.unit_scores import UnitScores
from tier_cli.metrics.bootstrap import Estimate, resample
from tier_cli.scoring.operating_points import parse_rule

AUC = 0.85
DESIGNS = [
    (rule, positives, patients)
    for positives, patients in ((20, 200), (50, 500), (200, 2000))
    for rule in ("youden", "sensitivity=0.9", "specificity=0.9")
]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=1000, help="Pairs of data sets drawn per design.")
    parser.add_argument("--replicates", type=int, default=500, help="Resamplings of patients per pair.")
    given = parser.parse_args()
    shift = np.sqrt(2) * norm.ppf(AUC)
    best = {"youden": shift / 2, "sensitivity=0.9": shift - norm.ppf(0.9), "specificity=0.9": norm.ppf(0.9)}
    heads = "".join(f"{name:>11}" for name in ("threshold", *("fixed", "percentile", "anew") * 2))
    sys.stdout.write(f"{'':41}{'sensitivity':22}{'specificity':>22}\n{'':31}{heads}\n")
    for rule, positives, patients in DESIGNS:
        cut = best[rule]
        truth = (cut, norm.sf(cut - shift), norm.cdf(cut))
        held = []
        for threshold, *rates in _estimates(rule, positives, patients, given.sets, given.replicates):
            bounds = [threshold.interval()[0]]
            for fixed, anew in rates:
                bounds += [
                    fixed.interval()[0],
                    np.nanquantile(anew.replicates, (0.025, 0.975)),
                    anew.interval()[0],
                ]
            targets = [truth[0], *[truth[1]] * 3, *[truth[2]] * 3]
            held.append([low <= target <= high for (low, high), target in zip(bounds, targets, strict=True)])
        shares = "".join(f"{share:11.3f}" for share in np.mean(held, axis=0))
        sys.stdout.write(f"{rule:16} {positives:4} of {patients:5} {shares}\n")
        sys.stdout.flush()


def _estimates(
    rule: str, positives: int, patients: int, sets: int, replicates: int
) -> Iterator[tuple[Estimate, tuple[Estimate, Estimate], tuple[Estimate, Estimate]]]:
    """Yield the threshold, and sensitivity and specificity at fixed and at new thresholds, of each pair."""
    shift = np.sqrt(2) * norm.ppf(AUC)
    labels = (np.arange(patients) < positives).astype(float)[:, None]
    truth = Labelled(("a",), labels, np.arange(patients).astype(str))
    for seed in range(sets):
        rng = np.random.default_rng([seed, patients])
        selecting, scores = (rng.normal(size=labels.shape) + shift * labels for _ in range(2))
        thresholds = select_thresholds(truth, selecting, parse_rule(rule), "valid")
        one, how = UnitScores("m", scores, thresholds), Resampling(replicates, seed)
        fixed = resample({0: one.statistic(labels)}, truth.patients, replicates=replicates, seed=seed)[0]
        anew = rechosen(truth, one, fixed, how)
        names = ("sensitivity", "specificity")
        yield anew["threshold_rechosen"], *((fixed[name], anew[f"{name}_rechosen"]) for name in names)


if __name__ == "__main__":
    main()
