"""Top-1 accuracy where every image has exactly one finding."""

from __future__ import annotations

import io

import numpy as np
import pytest
from sklearn.metrics import recall_score, top_k_accuracy_score

from tier_cli.display.exclusive_table import show_exclusive
from tier_cli.evaluation.measure import Resampling
from tier_cli.evaluation.sections.exclusive import measure_exclusive
from tier_cli.evaluation.truth import Labelled
from tier_cli.evaluation.unit_scores import UnitScores

NAMES = ("a", "b", "c")


def _truth(kinds: np.ndarray) -> Labelled:
    return Labelled(NAMES, np.eye(3)[kinds], np.arange(len(kinds)).astype(str))


def test_accuracy_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 3, 90)
    scores = rng.normal(size=(90, 3)) + np.eye(3)[kinds]
    content = measure_exclusive(_truth(kinds), [UnitScores("m", scores)], Resampling(50), "images")
    accuracy = content["scores"][0]["accuracy"]
    assert accuracy["value"] == pytest.approx(top_k_accuracy_score(kinds, scores, k=1), abs=1e-6)
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    recalls = [row["recall"]["value"] for row in content["scores"][0]["findings"]]
    np.testing.assert_allclose(recalls, recall_score(kinds, scores.argmax(axis=1), average=None), atol=1e-6)


def test_rows_that_do_not_qualify_are_counted() -> None:
    truth = _truth(np.array([0, 1, 2, 0]))
    truth.labels[0, 1] = 1
    scores = np.eye(3)[[0, 1, 2, 0]]
    scores[1, 2] = np.nan
    content = measure_exclusive(truth, [UnitScores("m", scores)], Resampling(5), "studies")
    assert content["n"] == 2
    assert content["left_out"] == {"not_exactly_one_finding": 1, "without_every_score": 1}
    assert content["scores"][0]["accuracy"]["value"] == 1


def test_ties_are_shared_not_won() -> None:
    content = measure_exclusive(
        _truth(np.array([0, 1, 2])), [UnitScores("m", np.zeros((3, 3)))], Resampling(5), "images"
    )
    assert content["scores"][0]["accuracy"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert content["chance"] == pytest.approx(1 / 3, abs=1e-6)


def test_nothing_to_measure_is_not_a_crash() -> None:
    from rich.console import Console

    truth = Labelled(NAMES, np.zeros((4, 3)), np.arange(4).astype(str))
    content = measure_exclusive(truth, [UnitScores("m", np.ones((4, 3)))], Resampling(5), "images")
    assert content["scores"][0]["accuracy"]["value"] is None
    text = io.StringIO()
    show_exclusive(content, Console(file=text, width=80))
    assert "0 images" in text.getvalue()
