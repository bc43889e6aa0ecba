"""The measures that figures draw are those of SciPy, of the papers and of plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from tier_cli.evaluation.figures.measures import (
    above_median,
    entropy,
    hoyer,
    profile,
    relative_importance,
    share_above,
    softmax,
)
from tier_cli.evaluation.figures.patient_means import PatientMeans, groups_of
from tier_cli.evaluation.measure import Resampling
from tier_cli.metrics.bootstrap import resample

RNG = np.random.default_rng(5)
COSINES = RNG.uniform(-1, 1, (6, 49))


def _cell(rows: int) -> np.ndarray:
    """Return similarities of which one is 1 and all others are 0."""
    found = np.zeros((rows, 49))
    found[0, 0] = 1
    return found


@pytest.mark.parametrize(
    ("similarities", "patches", "tokens"),
    [
        (np.zeros((4, 49)), 3.891820, 1.386294),
        (_cell(4), 3.887038, 1.383886),
        (np.tile(np.repeat([1.0, -1.0], [10, 39]), (4, 1)), 3.417354, 1.386294),
        (np.eye(5, 49), 3.872691, 1.598294),
        (_cell(16), 3.890625, 2.771540),
    ],
)
def test_entropies_are_the_known_values_of_the_method(
    similarities: np.ndarray, patches: float, tokens: float
) -> None:
    assert entropy(similarities, axis=1).mean() == pytest.approx(patches, abs=1e-6)
    assert entropy(similarities, axis=0).mean() == pytest.approx(tokens, abs=1e-6)


def test_entropies_are_those_of_scipy() -> None:
    weights = np.exp(COSINES)
    np.testing.assert_allclose(entropy(COSINES, axis=1), scipy_entropy(weights, axis=1), atol=1e-12)
    np.testing.assert_allclose(entropy(COSINES, axis=0), scipy_entropy(weights, axis=0), atol=1e-12)
    np.testing.assert_allclose(scipy_entropy(softmax(COSINES), axis=1), entropy(COSINES, axis=1), atol=1e-12)


def test_hoyer_sparsity_is_the_formula_of_the_paper() -> None:
    """Hoyer (2004), section 3.1: (sqrt(n) - L1 / L2) / (sqrt(n) - 1)."""
    for row, found in zip(COSINES, hoyer(COSINES), strict=True):
        first = sum(abs(value) for value in row)
        second = math.sqrt(sum(value * value for value in row))
        assert found == pytest.approx((math.sqrt(49) - first / second) / (math.sqrt(49) - 1), abs=1e-12)
    one, alike = np.eye(1, 49), np.full((1, 49), -0.3)
    assert hoyer(np.vstack([one, alike])).tolist() == pytest.approx([1, 0], abs=1e-12)
    assert np.isnan(hoyer(np.zeros((1, 49)))).all(), "zeros have no sparsity"


def test_patches_pushed_towards_minus_1_do_not_hide_where_a_phrase_looks() -> None:
    """Ten patches at 0.6 among 39 at -0.6 are all of one size, yet stand out as much as ten among zeros."""
    pushed, plain = (np.repeat([0.6, rest], [10, 39])[None] for rest in (-0.6, 0.0))
    assert hoyer(pushed).item() == pytest.approx(0, abs=1e-12)
    assert hoyer(above_median(pushed)).item() == pytest.approx(hoyer(plain).item(), abs=1e-12)
    by_hand = [[max(value - np.median(row), 0) for value in row] for row in COSINES]
    np.testing.assert_allclose(above_median(COSINES), by_hand, rtol=1e-12)


def test_the_share_counts_both_signs() -> None:
    assert share_above(np.array([[0.2, -0.2, 0.1, 0.0]])).tolist() == [0.5]


def test_a_relative_importance_has_the_sum_1_and_falls() -> None:
    """A negative total would turn the order round: the least similar patch would look most important."""
    found = relative_importance(np.array([[1.0, 3.0, -2.0], [-1.0, -3.0, 2.0], [1.0, -1.0, 0.0]]))
    assert found[0].tolist() == [1.5, 0.5, -1]
    assert np.isnan(found[1:]).all()
    assert profile(np.array([[0.1, 0.3, -0.2]])).tolist() == [[0.3, 0.1, -0.2]]


def test_running_sums_give_the_mean_and_interval_of_all_rows() -> None:
    """What is drawn must not depend on that only sums are kept."""
    patients = np.array([f"p{number // 3}" for number in RNG.permutation(60)])
    values = RNG.normal(size=(60, 4))
    values[7, 2] = np.nan
    how = Resampling(200, 3)
    means = PatientMeans(groups_of(patients), 4)
    for row in range(60):
        means.add(row, values[row : row + 1])

    def plain(weights: np.ndarray) -> dict[str, np.ndarray]:
        known = np.isfinite(values)
        return {"mean": (weights @ np.where(known, values, 0)) / (weights @ known.astype(float))}

    whole = resample({0: plain}, patients, replicates=200, seed=3)[0]["mean"]
    found = means.estimate(how)
    np.testing.assert_allclose(found.point, np.nanmean(values, axis=0), atol=1e-12)
    np.testing.assert_allclose(found.interval(), whole.interval(), atol=1e-12)
    assert means.rows.tolist() == [60, 60, 59, 60]


def test_very_many_patients_need_no_more_memory() -> None:
    groups = groups_of(np.array([f"p{number:06}" for number in range(9000)]))
    assert groups.max() == 4095
    assert np.bincount(groups).max() <= 3
