"""The points of curves agree with scikit-learn; the worst errors are the worst."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_curve,
)

from tier_cli.evaluation.page.curves import curve, operating_point, reliability, thin
from tier_cli.evaluation.page.errors import worst_units
from tier_cli.metrics.statistics import probabilities

RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 2, 200).astype(float)
# Rounded, so that there are ties.
SCORES = np.round(RNG.uniform(size=200) * 0.7 + LABELS * 0.2, 2)


def test_points_are_those_of_scikit_learn() -> None:
    found = curve(np.append(LABELS, [np.nan, 1]), np.append(SCORES, [5, np.nan]))
    assert found is not None
    wrong, right, _ = roc_curve(LABELS, SCORES, drop_intermediate=False)
    np.testing.assert_allclose(found.false_positive_rate, wrong, atol=1e-12)
    np.testing.assert_allclose(found.recall, right, atol=1e-12)
    precision, recall, _ = precision_recall_curve(LABELS, SCORES)
    np.testing.assert_allclose(found.precision, precision[::-1], atol=1e-12)
    np.testing.assert_allclose(found.recall, recall[::-1], atol=1e-12)
    # Drawn as steps that end at each point, the area below is the average precision that the table tells.
    area = float((np.diff(found.recall) * found.precision[1:]).sum())
    assert area == pytest.approx(average_precision_score(LABELS, SCORES), abs=1e-12)


def test_one_class_has_no_curve() -> None:
    assert curve(np.ones(3), np.arange(3.0)) is None
    assert curve(np.array([1, 0.0]), np.array([np.nan, 1])) is None


def test_the_operating_point_is_where_calls_are_made() -> None:
    threshold = float(SCORES[7])
    calls = threshold <= SCORES
    found = operating_point(LABELS, SCORES, threshold)
    assert found is not None
    assert found[0] == pytest.approx(1 - recall_score(LABELS, calls, pos_label=0))
    assert found[1] == pytest.approx(recall_score(LABELS, calls))
    assert found[2] == pytest.approx(precision_score(LABELS, calls))
    assert operating_point(LABELS, SCORES, float("nan")) is None


def test_bins_are_those_of_the_calibration_error() -> None:
    """The picture must not tell another story than the number beside it."""
    bins = reliability(LABELS, SCORES)
    error = sum(one.n * abs(one.mean - one.share) for one in bins) / sum(one.n for one in bins)
    told = probabilities(LABELS[:, None], SCORES[:, None])(np.ones((1, 200)))["ece"][0, 0]
    assert error == pytest.approx(told, abs=1e-12)
    assert all(0 <= one.low <= one.share <= one.high <= 1 for one in bins)


def test_intervals_of_bins_are_wilsons() -> None:
    from scipy.stats import binomtest

    (only,) = reliability(np.array([1.0] * 3 + [0.0] * 9), np.full(12, 0.3))
    known = binomtest(3, 12).proportion_ci(method="wilson")
    assert (only.low, only.high) == pytest.approx((known.low, known.high), abs=1e-9)


def test_thinning_keeps_both_ends() -> None:
    kept = thin(10_000)
    assert (kept[0], kept[-1], len(kept)) == (0, 9_999, 250)
    assert thin(3).tolist() == [0, 1, 2]


def test_worst_errors_are_low_positives_and_high_negatives() -> None:
    labels = np.array([1, 1, 0, 0, np.nan, 1, 0])
    scores = np.array([0.9, 0.1, 0.8, 0.2, 0.0, np.nan, 0.3])
    missed, alarms = worst_units(labels, scores, 2)
    assert missed.tolist() == [1, 0]
    assert alarms.tolist() == [2, 6]
    assert [part.size for part in worst_units(np.ones(3), np.arange(3.0), 2)] == [0, 0]
