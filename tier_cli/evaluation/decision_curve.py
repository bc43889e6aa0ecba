"""Measure the net benefit of acting on probabilities, over the thresholds at which one would act."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.evaluation.intervals import number

if TYPE_CHECKING:
    from tier_cli.evaluation.truth import Labelled
    from tier_cli.evaluation.unit_scores import UnitScores
    from tier_cli.metrics.ranking import Floats

THRESHOLDS = (0.01, 0.02, *(round(0.05 * step, 2) for step in range(1, 19)))


def net_benefit(labels: Floats, probabilities: Floats, thresholds: Sequence[float] = THRESHOLDS) -> Floats:
    """Return TP / N - FP / N * t / (1 - t) at each threshold t (Vickers & Elkin, 2006).

    Parameters
    ----------
    labels, probabilities
        (N,) labels are 1 or 0; N is above 0.
    thresholds
        (K,) each unit with a probability at or above it is acted on.

    Examples
    --------
    >>> net_benefit(np.array([1.0, 0.0]), np.array([0.6, 0.5]), [0.5, 0.55]).tolist()
    [0.0, 0.5]
    """
    cuts = np.asarray(thresholds)
    called = probabilities[:, None] >= cuts
    hits, alarms = (called & (labels == label)[:, None] for label in (1, 0))
    return np.asarray(hits.mean(axis=0) - alarms.mean(axis=0) * cuts / (1 - cuts))


def measure_decision_curve(truth: Labelled, score_sets: Sequence[UnitScores]) -> dict[str, Any] | None:
    """Return the net benefit of each score set with probabilities; None without any.

    Parameters
    ----------
    truth
        Labels of the units.
    score_sets
        Scores on the units that all score sets have.
    """
    scores = []
    for one in score_sets:
        if one.probabilities is None:
            continue
        findings = []
        for place, finding in enumerate(truth.findings):
            known = np.isfinite(truth.labels[:, place]) & np.isfinite(one.probabilities[:, place])
            labels, values = truth.labels[known, place], one.probabilities[known, place]
            if not 0 < labels.sum() < labels.size:
                continue
            findings.append(
                {
                    "finding": finding,
                    "net_benefit": [number(x) for x in net_benefit(labels, values)],
                    "of_all": [number(x) for x in net_benefit(labels, np.ones_like(values))],
                }
            )
        scores.append({"name": one.name, "findings": findings})
    return {"thresholds": list(THRESHOLDS), "scores": scores} if scores else None
