"""How well probabilities are calibrated, beside what chance alone gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.linear_model import LogisticRegression

from tier_cli.metrics.statistics import ece_if_calibrated, probabilities, recalibration


def _case(rows: int, slope: float = 1.0, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows)
    predicted = rng.beta(1.5, 3, (rows, 1))
    logits = np.log(predicted / (1 - predicted))
    labels = (rng.random((rows, 1)) < 1 / (1 + np.exp(-(slope * logits + shift)))).astype(float)
    return labels, predicted


@pytest.mark.parametrize(("rows", "floor"), [(245, 0.085), (1000, 0.043), (4000, 0.021)])
def test_calibrated_probabilities_have_the_error_that_was_expected_of_them(rows: int, floor: float) -> None:
    rng = np.random.default_rng(1)
    predicted = rng.beta(1.5, 3, (rows, 1))
    drawn = ece_if_calibrated(predicted, np.ones((rows, 1), dtype=bool))
    assert drawn.mean() == pytest.approx(floor, abs=0.012)
    seen = []
    for _ in range(100):
        labels = (rng.random((rows, 1)) < predicted).astype(float)
        seen.append(float(probabilities(labels, predicted)(np.ones((1, rows)))["ece"][0, 0]))
    assert np.mean(seen) == pytest.approx(drawn.mean(), rel=0.05)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert np.mean([low <= one <= high for one in seen]) > 0.88


def test_the_expected_error_is_the_same_each_time_and_counts_known_rows_only() -> None:
    _, predicted = _case(300)
    known = np.ones((300, 1), dtype=bool)
    np.testing.assert_array_equal(ece_if_calibrated(predicted, known), ece_if_calibrated(predicted, known))
    known[150:] = False
    np.testing.assert_array_equal(
        ece_if_calibrated(predicted, known), ece_if_calibrated(predicted[:150], known[:150])
    )
    assert np.isnan(ece_if_calibrated(predicted, np.zeros((300, 1), dtype=bool))).all()


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.5, 0.7), (2.0, -0.4)])
def test_slope_and_intercept_agree_with_other_solvers(slope: float, shift: float) -> None:
    labels, predicted = _case(900, slope, shift)
    logits = np.log(predicted / (1 - predicted))
    found = recalibration(labels, predicted)(np.ones((1, 900)))
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logits, labels[:, 0])
    assert found["calibration_slope"][0, 0] == pytest.approx(fitted.coef_[0, 0], abs=1e-4)
    # The intercept at slope 1 makes the mean probability the share of positives.
    root = brentq(lambda a: (1 / (1 + np.exp(-(a + logits)))).mean() - labels.mean(), -5, 5)
    assert found["calibration_intercept"][0, 0] == pytest.approx(root, abs=1e-6)


def test_a_resampling_is_close_to_a_fit_of_its_rows() -> None:
    labels, predicted = _case(600, 0.7, 0.3)
    picks = np.random.default_rng(0).integers(0, 600, 600)
    weights = np.bincount(picks, minlength=600)[None, :]
    once, again = recalibration(labels, predicted), recalibration(labels[picks], predicted[picks])
    for name, values in once(weights).items():
        assert values[0, 0] == pytest.approx(again(np.ones((1, 600)))[name][0, 0], abs=0.03)


def test_what_has_no_finite_slope_has_none() -> None:
    labels, once = np.array([[0.0, 0, 1, 1]]).T, np.ones((1, 4))
    separated = recalibration(labels, np.array([[0.1, 0.2, 0.8, 0.9]]).T)(once)
    assert np.isnan(separated["calibration_slope"]).all()
    assert np.isfinite(separated["calibration_intercept"]).all()
    same = recalibration(labels, np.full((4, 1), 0.3))(once)
    assert np.isnan(same["calibration_slope"]).all()
    assert same["calibration_intercept"][0, 0] == pytest.approx(np.log(0.7 / 0.3))
    sure = recalibration(labels, np.array([[0.0, 1, 0, 1]]).T)(once)
    assert np.isfinite(sure["calibration_slope"]).all()
    one_class = recalibration(np.ones((4, 1)), np.full((4, 1), 0.3))(once)
    assert np.isnan(list(one_class.values())).all()
