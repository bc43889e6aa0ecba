"""The net benefit of acting on probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from tier_cli.evaluation.decision_curve import THRESHOLDS, measure_decision_curve, net_benefit
from tier_cli.evaluation.truth import Labelled
from tier_cli.evaluation.unit_scores import UnitScores


def test_acting_on_all_is_worth_nothing_at_the_prevalence() -> None:
    labels = np.repeat([1.0, 0.0], (20, 80))
    found = net_benefit(labels, np.ones(100), [0.1, 0.2, 0.5])
    np.testing.assert_allclose(found, [0.2 - 0.8 / 9, 0, 0.2 - 0.8], atol=1e-12)


def test_perfect_probabilities_are_worth_the_prevalence_everywhere() -> None:
    labels = np.repeat([1.0, 0.0], (20, 80))
    np.testing.assert_allclose(net_benefit(labels, labels), np.full(len(THRESHOLDS), 0.2))


def test_only_findings_with_both_classes_and_sets_with_probabilities_have_a_curve() -> None:
    labels = np.array([[1.0, 0], [0, 0], [np.nan, 0]])
    truth = Labelled(("a", "b"), labels, np.array(["p", "q", "r"]))
    values = np.array([[0.9, 0.1], [0.2, 0.1], [0.5, 0.1]])
    sets = [UnitScores("x", values), UnitScores("y", values, probabilities=values)]
    found = measure_decision_curve(truth, sets)
    assert found is not None
    (one,) = found["scores"]
    assert (one["name"], [row["finding"] for row in one["findings"]]) == ("y", ["a"])
    assert one["findings"][0]["net_benefit"][0] == pytest.approx(0.5 - 0.5 * 0.01 / 0.99, abs=1e-6)
    assert measure_decision_curve(truth, sets[:1]) is None
