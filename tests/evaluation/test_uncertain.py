"""The AUC under each way to count uncertain labels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tier_cli.evaluation.uncertain import measure_policies
from tier_cli.evaluation.unit_scores import UnitScores


def test_the_three_policies_stand_side_by_side() -> None:
    rng = np.random.default_rng(0)
    raw = rng.choice([1.0, 0.0, -1.0, np.nan], (120, 2), p=[0.4, 0.3, 0.2, 0.1])
    scores = rng.normal(size=raw.shape) + (raw == 1)
    found = measure_policies(raw, ("a", "b"), np.arange(120).astype(str), [UnitScores("m", scores)], 0.95)
    assert found is not None
    assert found["uncertain_labels"] == (raw == -1).sum()
    for policy, value in zip(found["policies"], (np.nan, 1.0, 0.0), strict=True):
        (one,) = policy["scores"]
        labels = np.where(raw == -1, value, raw)[:, 1]
        known = np.isfinite(labels)
        row = one["findings"][1]
        assert (row["n"], row["positives"]) == (known.sum(), (labels == 1).sum())
        assert row["auc"]["value"] == pytest.approx(roc_auc_score(labels[known], scores[known, 1]), abs=1e-6)
        assert row["auc"]["low"] < row["auc"]["value"] < row["auc"]["high"]
        assert one["macro"]["low"] < one["macro"]["value"]


def test_without_uncertain_labels_there_is_nothing_to_compare() -> None:
    labels, scores = np.array([[1.0], [0.0]]), np.array([[0.3], [0.1]])
    assert measure_policies(labels, ("a",), np.array(["p", "q"]), [UnitScores("m", scores)], 0.95) is None
