"""Measure the AUC under each way to count uncertain labels, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.evaluation.intervals import documents
from tier_cli.evaluation.truth import settle_uncertain
from tier_cli.metrics.bootstrap import resample
from tier_cli.metrics.statistics import ranking

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.evaluation.unit_scores import UnitScores
    from tier_cli.metrics.ranking import Floats

POLICIES = ("ignore", "positive", "negative")


def measure_policies(
    raw: Floats,
    findings: Sequence[str],
    patients: NDArray[np.str_],
    score_sets: Sequence[UnitScores],
    level: float,
) -> dict[str, Any] | None:
    """Return the AUC under each policy for uncertain labels; None if no label is uncertain.

    Parameters
    ----------
    raw
        (U, F) labels of the evaluated units: 1, 0, -1 = uncertain, NaN = blank.
    findings, patients
        F ids, and one patient key per unit.
    score_sets
        Scores on the units that all score sets have.
    level
        Level of the intervals.
    """
    if not (raw == -1).any():
        return None
    policies = []
    for policy in POLICIES:
        settled, scores = settle_uncertain(raw, policy), []
        for one in score_sets:
            labels = np.where(np.isfinite(one.scores), settled, np.nan)
            # The interval of an AUC needs no resampling.
            statistic = ranking(labels, one.scores, auprc=False)
            estimate = resample({0: statistic}, patients, replicates=0)[0]["auc"]
            rows = zip(findings, labels.T, documents(estimate, level), strict=True)
            scores.append(
                {
                    "name": one.name,
                    "macro": documents(estimate.macro, level)[0],
                    "findings": [
                        {
                            "finding": finding,
                            "n": int(np.isfinite(column).sum()),
                            "positives": int((column == 1).sum()),
                            "auc": auc,
                        }
                        for finding, column, auc in rows
                    ],
                }
            )
        policies.append({"uncertain": policy, "scores": scores})
    return {"uncertain_labels": int((raw == -1).sum()), "policies": policies}
