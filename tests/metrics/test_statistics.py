"""Calls and probabilities against scikit-learn, plain and weighted."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, f1_score, matthews_corrcoef, precision_score, recall_score

from tier_cli.metrics.statistics import decisions, probabilities, ranking, together

THEIRS = {
    "sensitivity": lambda y, c, w: recall_score(y, c, sample_weight=w),
    "specificity": lambda y, c, w: recall_score(y, c, sample_weight=w, pos_label=0),
    "ppv": lambda y, c, w: precision_score(y, c, sample_weight=w),
    "f1": lambda y, c, w: f1_score(y, c, sample_weight=w),
    "mcc": lambda y, c, w: matthews_corrcoef(y, c, sample_weight=w),
}


def _case(rows: int = 150, findings: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, (rows, findings)).astype(float)
    chances = np.clip(0.5 * labels + 0.6 * rng.random((rows, findings)), 0, 1)
    return labels, chances, rng.poisson(1.0, (6, rows))


@pytest.mark.parametrize("metric", list(THEIRS))
def test_calls_equal_scikit_learn(metric: str) -> None:
    labels, chances, weights = _case()
    calls = (chances >= 0.5).astype(float)
    found = decisions(labels, calls)(weights)[metric]
    for row, weight in enumerate(weights):
        for f in range(3):
            expected = THEIRS[metric](labels[:, f], calls[:, f], weight)
            assert found[row, f] == pytest.approx(expected, abs=1e-9)


def test_brier_equals_scikit_learn() -> None:
    labels, chances, weights = _case()
    found = probabilities(labels, chances)(weights)["brier"]
    for row, weight in enumerate(weights):
        for f in range(3):
            expected = brier_score_loss(labels[:, f], chances[:, f], sample_weight=weight)
            assert found[row, f] == pytest.approx(expected, abs=1e-9)


def test_calibration_error_has_the_bins_of_scikit_learn() -> None:
    labels, chances, _ = _case()
    chances = np.where(chances == 1, 0.999, chances)
    found = probabilities(labels, chances, bins=10)(np.ones((1, len(labels))))["ece"]
    for f in range(3):
        shares, means = calibration_curve(labels[:, f], chances[:, f], n_bins=10, strategy="quantile")
        edges = np.quantile(chances[:, f], np.linspace(0, 1, 11)[1:-1])
        sizes = np.bincount(np.searchsorted(edges, chances[:, f]), minlength=10)
        expected = np.sum(sizes * np.abs(means - shares)) / sizes.sum()
        assert found[0, f] == pytest.approx(expected, abs=1e-9)


def test_equal_probabilities_share_a_bin_and_perfect_calibration_has_no_error() -> None:
    labels = np.array([[0.0], [1.0], [1.0], [1.0]])
    found = probabilities(labels, np.full((4, 1), 0.75))(np.ones((1, 4)))
    assert found["ece"][0, 0] == pytest.approx(0, abs=1e-12)
    assert found["brier"][0, 0] == pytest.approx(0.75 * 0.25)


def test_rows_without_label_or_call_are_left_out() -> None:
    labels = np.array([[1, 1, 0, 0, np.nan, 1.0]]).T
    calls = np.array([[1, 0, 0, 0, 1, np.nan]]).T
    found = decisions(labels, calls)(np.ones((1, 6)))
    assert found["sensitivity"][0, 0] == 0.5
    assert found["specificity"][0, 0] == 1.0


def test_one_class_is_not_a_number() -> None:
    labels, some = np.ones((5, 1)), np.array([[1.0, 0, 1, 0, 1]]).T
    once = np.ones((1, 5))
    values = {**decisions(labels, some)(once), **probabilities(labels, some)(once)}
    assert len(values) == 10
    assert all(np.isnan(value).all() for value in values.values())


def test_without_positive_calls_ppv_is_missing_and_mcc_is_zero() -> None:
    found = decisions(np.array([[1.0, 0, 0]]).T, np.zeros((3, 1)))(np.ones((1, 3)))
    assert np.isnan(found["ppv"][0, 0])
    assert (found["mcc"][0, 0], found["f1"][0, 0], found["sensitivity"][0, 0]) == (0, 0, 0)


def test_several_statistics_are_one() -> None:
    labels, chances, weights = _case()
    found = together(ranking(labels, chances), probabilities(labels, chances))(weights)
    assert set(found) == {"auc", "auprc", "brier", "ece"}
