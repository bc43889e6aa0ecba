"""Intervals hold the truth as often as they say, also with few patients of a class."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from tier_cli.metrics.bootstrap import Estimate, resample
from tier_cli.metrics.standard_errors import difference_interval, share_interval
from tier_cli.metrics.statistics import Statistic, decisions, ranking


def _estimates(
    statistic: Statistic, patients: np.ndarray, replicates: int = 2, seed: int = 0
) -> dict[str, Estimate]:
    return resample({0: statistic}, patients, replicates=replicates, seed=seed)[0]


def _auc(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> Estimate:
    return _estimates(ranking(labels, scores, auprc=False), patients)["auc"]


def _drawn(positives: tuple[int, ...], patients: int, auc: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, patients])
    labels = np.zeros((patients, len(positives)))
    for number, count in enumerate(positives):
        labels[rng.choice(patients, count, replace=False), number] = 1
    return labels, rng.normal(size=labels.shape) + np.sqrt(2) * norm.ppf(auc) * labels


@pytest.mark.parametrize(
    ("positives", "patients", "auc"),
    [
        ((100,), 200, 0.8),
        ((10,), 100, 0.9),
        ((10,), 100, 0.97),
        ((2,), 100, 0.8),
        ((2,) * 6 + (20,) * 8, 200, 0.8),
        ((1,) * 6 + (20,) * 8, 200, 0.8),
    ],
)
def test_the_interval_of_the_auc_holds_the_truth(
    positives: tuple[int, ...], patients: int, auc: float
) -> None:
    held = []
    for seed in range(200):
        estimate = _auc(*_drawn(positives, patients, auc, seed), np.arange(patients)).macro
        low, high = estimate.interval()[0]
        held.append(low <= auc <= high)
    # Percentiles of the bootstrap hold 0.947, 0.861, 0.812, 0.62, 0.83 and 0.40 of them.
    assert np.mean(held) >= 0.92


def test_many_patients_give_the_standard_error_of_delong() -> None:
    labels, scores = _drawn((400,), 1000, 0.75, 3)
    high, low = scores[labels == 1], scores[labels == 0]
    wins = (high[:, None] > low).astype(float)
    expected = np.sqrt(
        np.var(wins.mean(axis=1), ddof=1) / high.size + np.var(wins.mean(axis=0), ddof=1) / low.size
    )
    estimate = _auc(labels, scores, np.arange(1000))
    assert estimate.standard_errors[0] == pytest.approx(expected, rel=0.02)


def test_more_images_of_the_same_patients_do_not_narrow_the_interval() -> None:
    labels, scores = _drawn((15,), 60, 0.8, 1)
    once = _auc(labels, scores, np.arange(60)).interval()
    often = _auc(
        np.repeat(labels, 5, axis=0), np.repeat(scores, 5, axis=0), np.repeat(np.arange(60), 5)
    ).interval()
    np.testing.assert_allclose(often, once, atol=1e-5)


def test_a_perfect_auc_of_two_patients_is_not_certain() -> None:
    labels, scores = np.array([[1.0, 1, 0, 0, 0, 0, 0, 0]]).T, np.array([[9.0, 8, 7, 6, 5, 4, 3, 2]]).T
    estimate = _auc(labels, scores, np.arange(8))
    (low, high), (_, mean_high) = estimate.interval()[0], estimate.macro.interval()[0]
    assert low < 0.7
    assert high == mean_high == 1


def test_calls_that_are_all_right_are_not_certain() -> None:
    labels = np.repeat([1.0, 0.0], (10, 50))[:, None]
    found = _estimates(decisions(labels, labels), np.arange(60), 200)
    # Wilson's intervals of 10 of 10 and of 50 of 50.
    assert found["sensitivity"].interval()[0] == pytest.approx([0.722, 1.0], abs=0.001)
    assert found["npv"].interval()[0] == pytest.approx([0.929, 1.0], abs=0.001)
    # Five images of each patient are no more than ten patients.
    many = np.repeat(labels, 5, axis=0)
    clustered = _estimates(decisions(many, many), np.repeat(np.arange(60), 5), 200)
    assert clustered["sensitivity"].interval()[0] == pytest.approx([0.722, 1.0], abs=0.001)


def test_a_mean_of_sensitivities_does_not_hide_findings_of_which_all_calls_are_right() -> None:
    labels = np.zeros((60, 3))
    labels[:2, :] = 1
    estimate = _estimates(decisions(labels, labels), np.arange(60), 200)["sensitivity"]
    low, high = estimate.macro.interval()[0]
    assert low < 0.7
    assert high == 1


def test_a_mean_is_over_the_same_findings_in_every_replicate() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((80, 2))
    labels[:40, 0], labels[:1, 1] = 1, 1
    scores = rng.normal(size=(80, 2)) + [1, 0] * labels
    estimate = _estimates(ranking(labels, scores), np.arange(80), 400)["auprc"]
    mean = estimate.macro
    # The second finding's average precision is low; a mean without it would be far higher.
    alone = estimate.replicates[np.isnan(estimate.replicates[:, 1])]
    assert len(alone) > 100
    assert mean.replicates.max() < alone[:, 0].max()
    assert np.isfinite(mean.replicates).all()
    assert mean.measured[0] == 400 - len(alone)


def test_p_values_agree_with_the_intervals_of_differences() -> None:
    agree = []
    for seed in range(60):
        labels, scores = _drawn((30,), 120, 0.75, seed)
        other = scores * 0.6 + np.random.default_rng(seed).normal(size=scores.shape) * 0.8
        difference = _auc(labels, scores, np.arange(120)) - _auc(labels, other, np.arange(120))
        low, high = difference.interval()[0]
        agree.append((difference.p_values()[0] < 0.05) == (low > 0 or high < 0))
    assert all(agree)


def _wilson(count: int, of: int) -> np.ndarray:
    point = np.array([count / of])
    errors = np.sqrt(point * (1 - point) / of)
    return np.column_stack([point, share_interval(point, errors, np.array([float(of)]), 0.95)])


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090)],
)
def test_differences_of_independent_shares_are_those_of_newcombe(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    """The examples (a) and (b) of Newcombe, Statistics in Medicine 1998; 17: 873-890, table II, method 10."""
    found = difference_interval(_wilson(*first), _wilson(*second), np.zeros(1))
    assert found[0] == pytest.approx([low, high], abs=1e-4)


def _paired(table: tuple[int, int, int, int], seed: int = 0) -> Estimate:
    """Return the difference of two models' sensitivities if both, one, the other and none find a positive."""
    calls = np.repeat([[1.0, 1], [1, 0], [0, 1], [0, 0], [0, 0]], [*table, 20], axis=0)
    labels = (np.arange(len(calls)) < sum(table)).astype(float)[:, None]
    statistics = {side: decisions(labels, calls[:, [side]]) for side in (0, 1)}
    found = resample(statistics, np.arange(len(calls)), replicates=2000, seed=seed)
    return found[0]["sensitivity"] - found[1]["sensitivity"]


def test_differences_of_paired_shares_are_those_of_newcombe() -> None:
    """Complete response before and after consolidation therapy (Cavo et al., 2012).

    Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables (2017), chapter 8, and the R
    package contingencytables give Newcombe's square-and-add interval -0.1186 to -0.0046 (with a correction
    that lowers the correlation a little), Wald's -0.1184 to -0.0058, and McNemar's p 0.0330.
    """
    difference = _paired((59, 6, 16, 80))
    assert difference.point[0] == pytest.approx(-0.0621, abs=1e-4)
    assert difference.interval()[0] == pytest.approx([-0.1186, -0.0046], abs=0.002)
    assert difference.p_values()[0] == pytest.approx(0.033, abs=0.005)
    assert difference.macro.interval()[0] == pytest.approx(difference.interval()[0], abs=1e-6)


def test_p_values_of_shares_agree_with_their_intervals() -> None:
    agree = []
    for first in range(2, 14):
        difference = _paired((20, first, 2, 10), first)
        low, high = difference.interval()[0]
        agree.append((difference.p_values()[0] < 0.05) == (low > 0 or high < 0))
    assert all(agree)
    assert _paired((20, 5, 5, 10)).p_values()[0] == pytest.approx(1)


def test_two_models_that_find_everything_may_still_differ() -> None:
    """Percentiles of the bootstrap would say that the difference is 0 for certain."""
    difference = _paired((8, 0, 0, 0))
    assert difference.interval()[0] == pytest.approx([-0.32, 0.32], abs=0.01)
    assert difference.p_values()[0] == 1


def test_a_mean_difference_counts_the_resamplings_that_held_every_finding() -> None:
    labels = np.zeros((40, 2))
    labels[:20, 0], labels[:1, 1] = 1, 1
    found = resample({0: decisions(labels, labels), 1: decisions(labels, 1 - labels)}, np.arange(40), seed=1)
    difference = found[0]["sensitivity"] - found[1]["sensitivity"]
    assert difference.macro.measured[0] == difference.measured[1] < 700


def test_the_interval_of_a_mean_difference_holds_the_truth() -> None:
    """Of 8 findings, 4 have two positive patients; percentiles hold the truth in about three of four sets."""
    held = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        labels = (np.arange(40)[:, None] < np.array([2] * 4 + [20] * 4)).astype(float)
        calls = [(rng.random(labels.shape) < share).astype(float) for share in (0.9, 0.8)]
        statistics = {number: decisions(labels, one) for number, one in enumerate(calls)}
        found = resample(statistics, np.arange(40), replicates=100, seed=seed)
        low, high = (found[0]["sensitivity"].macro - found[1]["sensitivity"].macro).interval()[0]
        held.append(low <= 0.1 <= high)
    assert np.mean(held) >= 0.92
