"""Curves of a calibration against scipy's optimiser and scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from tier_cli.fitting.curves import fit_curve
from tier_cli.fitting.folds import count_patients, patient_folds
from tier_cli.scoring.calibration import CalibrationKey, Isotonic, Platt, match_calibration


def _data(size: int, seed: int, digits: int = 9) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = (generator.random(size) < 0.3).astype(float)
    labels[:2] = 0, 1
    return labels, np.round(0.1 * generator.normal(size=size) + 0.08 * labels - 0.2, digits)


@pytest.mark.parametrize(("size", "seed"), [(30, 0), (400, 1), (4000, 2)])
def test_platt_is_the_maximum_of_its_likelihood(size: int, seed: int) -> None:
    labels, scores = _data(size, seed)
    high, low = labels.sum(), size - labels.sum()
    targets = np.where(labels == 1, (high + 1) / (high + 2), 1 / (low + 2))

    def loss(beta: np.ndarray) -> float:
        logits = beta[0] * 10 * scores + beta[1]
        return float((np.logaddexp(0, logits) - targets * logits).sum())

    best = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).x
    curve = fit_curve("platt", labels, scores)
    assert isinstance(curve, Platt)
    assert (curve.a, curve.b) == pytest.approx((best[0] * 10, best[1]), rel=1e-5)


def test_platt_nears_plain_logistic_regression_with_many_images() -> None:
    labels, scores = _data(20000, 3)
    plain = LogisticRegression(C=np.inf, tol=1e-10).fit(scores[:, None] * 10, labels)
    curve = fit_curve("platt", labels, scores)
    assert curve is not None
    expected = plain.predict_proba(np.array([[-4.0], [-1.0], [1.0]]))[:, 1]
    assert [curve.probability(x) for x in (-0.4, -0.1, 0.1)] == pytest.approx(expected, abs=1e-3)


def test_separated_scores_have_a_curve() -> None:
    curve = fit_curve("platt", [0, 0, 0, 1, 1], [-3e-3, -2e-3, -1e-3, 1e-3, 2e-3])
    assert isinstance(curve, Platt)
    assert np.isfinite([curve.a, curve.b]).all()
    assert 0.5 < curve.probability(2e-3) < 0.9  # Platt's target for two positives is 3/4.


@pytest.mark.parametrize("digits", [2, 9])
def test_isotonic_is_that_of_scikit_learn_without_it(digits: int) -> None:
    labels, scores = _data(500, 4, digits)
    curve = fit_curve("isotonic", labels, scores)
    assert isinstance(curve, Isotonic)
    model = IsotonicRegression(out_of_bounds="clip").fit(scores, labels)
    places = np.concatenate([scores, np.linspace(-1, 1, 501)])
    expected = np.clip(model.predict(places), 1 / 502, 501 / 502)
    # Interpolating between clipped ends is the same only where neither end was clipped.
    raw = model.y_thresholds_
    inner = np.isin(np.searchsorted(model.X_thresholds_, places), np.flatnonzero((raw > 0) & (raw < 1))[1:])
    found = np.array([curve.probability(float(x)) for x in places])
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-12)
    assert inner.sum() > 100
    assert (np.diff(found[np.argsort(places)]) >= 0).all()
    assert found.min() == 1 / 502


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_scores_that_fall_with_the_finding_get_no_curve(method: str) -> None:
    assert fit_curve(method, [1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9]) is None
    assert fit_curve(method, [1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5]) is None


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_curves_survive_the_file(method: str) -> None:
    labels, scores = _data(300, 5)
    curve = fit_curve(method, labels, scores)
    assert curve is not None
    key = CalibrationKey("w", "voi", "p", "image")
    content = {"key": vars(key), "findings": {"x": {**curve.to_dict(), "threshold": 0.0}}}
    calibration = match_calibration(json.loads(json.dumps(content)), key)
    assert calibration.findings["x"].curve == curve


def test_one_class_has_no_curve() -> None:
    with pytest.raises(ValueError, match="both"):
        fit_curve("platt", [1, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="finite"):
        fit_curve("platt", [1, 0], [0.1, np.nan])


def test_no_patient_is_in_two_folds_and_each_fold_has_positives() -> None:
    generator = np.random.default_rng(0)
    patients = generator.integers(0, 60, 300).astype(str)
    positive = generator.random(300) < 0.1
    folds = patient_folds(patients, positive, 5, seed=1)
    for patient in np.unique(patients):
        assert len(np.unique(folds[patients == patient])) == 1
    with_one = [count_patients(patients, positive & (folds == fold)) for fold in range(5)]
    assert max(with_one) - min(with_one) <= 1
    sizes = [count_patients(patients, folds == fold) for fold in range(5)]
    assert max(sizes) - min(sizes) <= 1
    assert (folds == patient_folds(patients, positive, 5, seed=1)).all()


def test_logistic_curve_is_scipys() -> None:
    curve = Platt(6.5, -1.25)
    for score in (-300.0, -0.5, 0.0, 300.0):
        assert curve.probability(score) == pytest.approx(expit(6.5 * score - 1.25), abs=1e-12)
