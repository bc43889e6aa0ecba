"""Readers as a random sample, against the published analyses of the Van Dyke data.

Five readers rated 114 cases, 45 of them with aortic dissection, from 1 to 5 with two kinds of MRI (Van Dyke
et al., RSNA 1993). The ratings are public in the R packages MRMCaov and RJafroc. The results of the AUC are
those that OR-DBM MRMC 2.5 prints for them (trapezoidal area, jackknife; in RJafroc's folder inst/obumrm2);
those of the sensitivity are in the article on MRMCaov (binary_sens, rating of at least 3, jackknife).
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f as f_distribution
from sklearn.metrics import recall_score, roc_auc_score

from tier_cli.metrics.random_readers import ReaderMean, mean_over_readers, without_each_patient
from tier_cli.metrics.ranking import Floats
from tier_cli.metrics.statistics import Statistic, decisions, ranking

# One line per reader and treatment: the ratings of 69 cases without and 45 with a dissection.
CINE = """
122151111111411111111131311214111113121211233131133111111221111332111555545554555434245555555154454553555115554451
232222222322522232222222422223222222222222222222222222222432232222222535555542555442225555555243354552425225555352
222235112242422232221232411322112224121412112222223211211221151421212545555555555542355555555252255552555225555552
111111311111111111112111211112111111111111111111331111111111111311111555555555555555155555555554544553555125555555
351211112221211122113221111211211231221113332111211111111341231212113525255551545452235555554144322151515115553552
"""
SPIN_ECHO = """
333222223213122222211111421312214323123122233111333113412421241442111535555554555544335555555355355554455535555551
322222223222222122221222322222212212222231223222222222322322222222122535555552555344245455545252355532425525555552
242222322211132222121121411512112122212221132111233113221232341242121525555555555354145555555253355543555534555551
221111312111122111211111321212111122112111112121212211111212111323211545555554555455555555555455445555555535555555
223122221222111222122212322321212222112121132122332122221222231233111525455555455343335555555251332532545533555553
"""
TRUTH = np.repeat([0.0, 1.0], (69, 45))[:, None]
CASES = np.array([f"{case:03}" for case in range(114)])


def _ratings(lines: str) -> Floats:
    return np.array([[float(one) for one in line] for line in lines.split()])


def _measure(statistics: list[Statistic], name: str) -> tuple[Floats, Floats]:
    """Return a metric of each reader, and without one case at a time."""
    left_out = without_each_patient(dict(enumerate(statistics)), CASES, [name])
    values = [statistic(np.ones((1, 114)))[name][0, 0] for statistic in statistics]
    return np.array(values), np.stack([left_out[place][name][:, 0] for place in left_out], axis=1)


def _areas(lines: str) -> tuple[Floats, Floats]:
    return _measure([ranking(TRUTH, one[:, None], auprc=False) for one in _ratings(lines)], "auc")


def _sensitivities(lines: str) -> tuple[Floats, Floats]:
    """MRMCaov leaves out only the cases that count for a sensitivity, the 45 with the finding."""
    calls = [(one[:, None] >= 3).astype(float) for one in _ratings(lines)]
    values, left_out = _measure([decisions(TRUTH, one) for one in calls], "sensitivity")
    return values, left_out[69:]


def test_the_ratings_are_those_that_were_published() -> None:
    expected = [0.91964573, 0.85877617, 0.90386473, 0.97310789, 0.82979066]
    areas = [roc_auc_score(TRUTH[:, 0], one) for one in _ratings(CINE)]
    assert areas == pytest.approx(expected, abs=1e-8)
    found = [recall_score(TRUTH[:, 0], one >= 3) for one in _ratings(SPIN_ECHO)]
    assert found == pytest.approx([0.978, 0.822, 0.911, 1, 0.889], abs=5e-4)


@pytest.mark.parametrize(
    ("lines", "value", "error", "degrees", "low", "high"),
    [
        (CINE, 0.89703704, 0.03317360, 12.74, 0.82522360, 0.96885048),
        (SPIN_ECHO, 0.94083736, 0.02156637, 12.71, 0.89413783, 0.98753689),
    ],
)
def test_the_mean_auc_of_the_readers(
    lines: str, value: float, error: float, degrees: float, low: float, high: float
) -> None:
    found = mean_over_readers(*_areas(lines))
    assert (found.value, found.standard_error) == pytest.approx((value, error), abs=1e-8)
    assert found.degrees == pytest.approx(degrees, abs=0.005)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-8)


def test_the_difference_of_two_tests_read_by_the_same_readers() -> None:
    """OR-DBM's analysis 1: F(1, 15.26) = 4.46, p 0.0517, difference -0.04380 [-0.08796, 0.00036]."""
    (cine, left_out), (spin, other) = _areas(CINE), _areas(SPIN_ECHO)
    found = mean_over_readers(cine - spin, left_out - other)
    assert (found.value, found.standard_error) == pytest.approx((-0.04380032, 0.02075), abs=5e-6)
    assert (found.low, found.high) == pytest.approx((-0.08796, 0.00036), abs=5e-6)
    assert found.degrees == pytest.approx(15.26, abs=0.005)
    assert (found.value / found.standard_error) ** 2 == pytest.approx(4.46, abs=0.005)
    assert found.p == pytest.approx(0.0517, abs=5e-5)


def test_sensitivities_of_binary_calls() -> None:
    first, second = _sensitivities(CINE), _sensitivities(SPIN_ECHO)
    one = mean_over_readers(*first)
    assert (one.value, one.standard_error) == pytest.approx((0.8222222, 0.05893747), abs=1e-7)
    assert (one.degrees, one.low, one.high) == pytest.approx((14.456811, 0.6961876, 0.9482568), abs=1e-6)
    other = mean_over_readers(*second)
    assert (other.standard_error, other.degrees) == pytest.approx((0.03741657, 7.575855), abs=1e-6)
    minus = mean_over_readers(first[0] - second[0], first[1] - second[1])
    expected = (-0.09777778, 0.03780451, 15.71732, -0.1780371, -0.0175185, 0.02008822)
    found = (minus.value, minus.standard_error, minus.degrees, minus.low, minus.high, minus.p)
    assert found == pytest.approx(expected, abs=5e-6)


def test_a_model_beside_readers_is_a_test_that_all_of_them_read_alike() -> None:
    """The two-test analysis of Obuchowski and Rockette, written out from OR-DBM's own formulas, agrees."""
    readers, left_out = _areas(CINE)
    model, without = _measure([ranking(TRUTH, _ratings(SPIN_ECHO)[:1].T, auprc=False)], "auc")
    found = mean_over_readers(model - readers, without - left_out)
    # Rows: the model, copied for each reader, and the readers.
    table = np.stack([np.repeat(model, 5), readers])
    moved = np.concatenate([np.repeat(without, 5, axis=1), left_out], axis=1)
    moved -= moved.mean(axis=0)
    covariances = (113 / 114 * moved.T @ moved).reshape(2, 5, 2, 5)
    others = ~np.eye(5, dtype=bool)
    same_test = np.mean([covariances[test, :, test][others].mean() for test in (0, 1)])
    other_test = covariances[0, :, 1][others].mean()
    mean = table.mean()
    between = 5 * ((table.mean(axis=1) - mean) ** 2).sum()
    left = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + mean
    interaction = (left**2).sum() / 4
    error = interaction + 5 * max(same_test - other_test, 0)
    degrees = error**2 / (interaction**2 / 4)
    assert (found.value / found.standard_error) ** 2 == pytest.approx(between / error)
    assert found.degrees == pytest.approx(degrees)
    assert found.p == pytest.approx(f_distribution.sf(between / error, 1, degrees))


def test_readers_that_do_not_differ_leave_the_uncertainty_of_the_cases() -> None:
    """With all readers alike, the interval is that of one reader on these cases."""
    values, left_out = _areas(CINE)
    alike = mean_over_readers(np.repeat(values[:1], 4), np.repeat(left_out[:, :1], 4, axis=1))
    moved = left_out[:, 0] - left_out[:, 0].mean()
    assert alike.standard_error == pytest.approx(np.sqrt(113 / 114 * (moved**2).sum()))
    assert alike.high - alike.low == pytest.approx(2 * 1.959964 * alike.standard_error, rel=1e-4)


@pytest.mark.parametrize(
    ("values", "left_out"),
    [
        (np.array([0.8]), np.full((3, 1), 0.8)),
        (np.array([0.8, 0.9]), np.array([[0.8, 0.9], [0.7, np.nan], [0.8, 0.9]])),
        (np.array([1.0, 1.0]), np.ones((3, 2))),
    ],
)
def test_there_is_no_interval_where_nothing_is_known_of_the_spread(values: Floats, left_out: Floats) -> None:
    """One reader, one patient of a class, or a perfect score of all: a width of 0 would mislead."""
    found = mean_over_readers(values, left_out)
    assert found.value == values.mean()
    assert np.isnan([found.low, found.high, found.p, found.standard_error]).all()
    assert isinstance(found, ReaderMean)
