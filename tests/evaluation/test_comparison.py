"""Compare two score sets on the same images; DeLong's test is the reference where images are independent."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from tier_cli.evaluation.build import measure_units
from tier_cli.evaluation.measure import Metric, Resampling, holm
from tier_cli.evaluation.truth import Labelled
from tier_cli.evaluation.unit_scores import UnitScores
from tier_cli.metrics.bootstrap import Estimate


def delong(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return two AUCs' difference and its standard error (DeLong, DeLong and Clarke-Pearson, 1988)."""
    positive = labels == 1
    shares = []
    for scores in (first, second):
        high, low = scores[positive], scores[~positive]
        wins = (high[:, None] > low) + 0.5 * (high[:, None] == low)
        shares.append((wins.mean(axis=1), wins.mean(axis=0)))
    difference = shares[0][0].mean() - shares[1][0].mean()
    variance = sum(
        np.var(one - other, ddof=1) / one.size for one, other in zip(shares[0], shares[1], strict=True)
    )
    return float(difference), float(np.sqrt(variance))


def _case(rows: int = 500, better: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 2, rows).astype(float)
    shared = rng.normal(size=rows)
    first = labels * (0.6 + better) + shared + 0.7 * rng.normal(size=rows)
    second = labels * 0.6 + shared + 0.7 * rng.normal(size=rows)
    return labels, first, second


def _difference(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, patients: np.ndarray, replicates: int
) -> Metric:
    """Compare two score sets as `tier eval` does."""
    truth = Labelled(("a",), labels[:, None], patients.astype(str))
    sets = [UnitScores("x", first[:, None]), UnitScores("y", second[:, None])]
    (difference,) = measure_units(truth, sets, [], Resampling(replicates)).differences
    return difference.rows[0].metrics["auc"]


@pytest.mark.parametrize("better", [0.0, 0.5])
def test_interval_and_p_value_agree_with_delong(better: float) -> None:
    labels, first, second = _case(better=better)
    metric = _difference(labels, first, second, np.arange(500), 1000)
    difference, error = delong(labels, first, second)
    assert metric.value == pytest.approx(difference, abs=1e-9)
    assert metric.high - metric.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert metric.low == pytest.approx(difference - 1.96 * error, abs=0.25 * error)
    assert metric.high == pytest.approx(difference + 1.96 * error, abs=0.25 * error)
    p = 2 * norm.sf(abs(difference) / error)
    assert metric.p == pytest.approx(p, abs=0.03)


def test_several_images_per_patient_widen_the_interval_unlike_delong() -> None:
    labels, first, second = (np.repeat(one, 4) for one in _case(150))
    _, error = delong(labels, first, second)
    metric = _difference(labels, first, second, np.repeat(np.arange(150), 4), 300)
    assert metric.high - metric.low > 1.6 * 2 * 1.96 * error


def test_p_values_are_two_sided_never_zero_and_one_for_no_difference() -> None:
    rng = np.random.default_rng(0)
    replicates = np.stack([rng.normal(5, 1, 99), rng.normal(-5, 1, 99), np.zeros(99), np.full(99, np.nan)]).T
    found = Estimate(np.array([5.0, -5, 0, np.nan]), replicates).p_values()
    np.testing.assert_allclose(found[:3], [0.02, 0.02, 1.0])
    assert np.isnan(found[3])


def test_holm_multiplies_the_smallest_most_and_never_changes_the_order() -> None:
    # Worked by hand: 0.01 * 4, 0.02 * 3, 0.03 * 2 (raised to the one before it), 0.5.
    np.testing.assert_allclose(
        holm(np.array([0.02, 0.5, 0.01, np.nan, 0.03])), [0.06, 0.5, 0.04, np.nan, 0.06]
    )
    np.testing.assert_allclose(holm(np.array([0.4, 0.6])), [0.8, 0.8])
    assert np.isnan(holm(np.array([np.nan]))).all()


def test_only_findings_are_corrected_and_the_mean_is_one_test() -> None:
    labels, first, second = _case(200)
    truth = Labelled(("a", "b"), np.stack([labels, labels], axis=1), np.arange(200).astype(str))
    sets = [UnitScores(name, np.stack([one, one], axis=1)) for name, one in (("x", first), ("y", second))]
    (difference,) = measure_units(truth, sets, [], Resampling(200)).differences
    assert difference.name == "x minus y"
    metric = difference.rows[0].metrics["auc"]
    assert metric.p is not None
    assert metric.p_holm == pytest.approx(min(1, 2 * metric.p))
    assert difference.macro["auc"].p is not None
    assert difference.macro["auc"].p_holm is None


def test_resampling_noise_is_removed_from_calibration_errors() -> None:
    raised = Estimate(np.array([0.03]), np.array([[0.05], [0.07], [0.09]])).centred
    np.testing.assert_allclose(raised.replicates[:, 0], [0.01, 0.03, 0.05])
    assert (Estimate(np.array([0.0]), np.array([[0.0], [0.1]])).centred.replicates >= 0).all()
