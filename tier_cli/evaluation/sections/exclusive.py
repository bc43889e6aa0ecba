"""Measure top-1 accuracy where every image has exactly one of the findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.evaluation.context import Section
from tier_cli.evaluation.document import metric_document
from tier_cli.evaluation.measure import as_metrics
from tier_cli.metrics.bootstrap import resample
from tier_cli.metrics.ranking import Floats, ratio
from tier_cli.metrics.statistics import Statistic, Weights, tally

if TYPE_CHECKING:
    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.measure import Resampling
    from tier_cli.evaluation.truth import Labelled
    from tier_cli.evaluation.unit_scores import UnitScores


def exclusive_section() -> Section:
    """Return the section ``exclusive``."""
    return Section("exclusive", _measure)


def _measure(evaluation: Evaluation) -> dict[str, Any]:
    return measure_exclusive(
        evaluation.by_unit, evaluation.unit_scores, evaluation.protocol.resampling, evaluation.units.plural
    )


def measure_exclusive(
    truth: Labelled, score_sets: Sequence[UnitScores], how: Resampling, plural: str
) -> dict[str, Any]:
    """Measure how often the finding with the highest score is the true one.

    A row counts if exactly one finding is positive and every score set scores every finding. If k findings
    share the highest score and the true one is among them, the row counts 1/k.

    Parameters
    ----------
    truth
        N rows with labels of F findings.
    score_sets
        One or several.
    how, plural
        How patients are resampled; the plural of the unit.
    """
    one = (truth.labels == 1).sum(axis=1) == 1
    used = one & np.logical_and.reduce([np.isfinite(c.scores).all(axis=1) for c in score_sets])
    positive = (truth.labels == 1)[used]
    statistics = {number: _accuracy(positive, c.scores[used]) for number, c in enumerate(score_sets)}
    found = resample(statistics, truth.patients[used], replicates=how.replicates, seed=how.seed)
    return {
        "unit": plural,
        "n": int(used.sum()),
        "patients": len(np.unique(truth.patients[used])),
        "left_out": {
            "not_exactly_one_finding": int((~one).sum()),
            "without_every_score": int((one & ~used).sum()),
        },
        "chance": round(1 / len(truth.findings), 6),
        "scores": [
            {
                "name": c.name,
                "accuracy": metric_document(as_metrics(found[number]["accuracy"], how.level)[0]),
                "findings": [
                    {"finding": name, "n": int(positive[:, place].sum()), "recall": metric_document(metric)}
                    for place, (name, metric) in enumerate(
                        zip(truth.findings, as_metrics(found[number]["recall"], how.level), strict=True)
                    )
                ],
            }
            for number, c in enumerate(score_sets)
        ],
    }


def _accuracy(positive: np.ndarray[tuple[int, int], np.dtype[np.bool_]], scores: Floats) -> Statistic:
    highest = scores == scores.max(axis=1, keepdims=True, initial=-np.inf)
    share = np.where(positive & highest, 1 / np.maximum(highest.sum(axis=1, keepdims=True), 1), 0)

    def statistic(weights: Weights) -> Mapping[str, Floats]:
        right, there = tally(weights, [share, positive.astype(np.float64)])
        whole = ratio(right.sum(axis=1, keepdims=True), there.sum(axis=1, keepdims=True))
        return {"accuracy": whole, "recall": ratio(right, there)}

    return statistic
