"""Ranking metrics against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tier_cli.metrics.ranking import (
    auc,
    average_precision,
    macro_mean,
    rank,
    weighted_areas,
    weighted_auc,
)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("levels", [2, 7, 10_000])
def test_equals_scikit_learn_with_few_and_many_ties(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 301)
    scores = (rng.integers(0, levels, 301) + labels * levels // 3) / 7
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    assert average_precision(labels, scores) == pytest.approx(
        average_precision_score(labels, scores), abs=1e-9
    )


def test_equals_scikit_learn_with_weights() -> None:
    rng = np.random.default_rng(9)
    labels, scores = rng.integers(0, 2, 120), rng.integers(0, 15, 120).astype(float)
    weights = rng.poisson(1.0, (20, 120))
    ranking = rank(labels, scores)
    got_auc, got_ap = weighted_areas(ranking, weights)
    np.testing.assert_array_equal(weighted_auc(ranking, weights), got_auc)
    for row, weight in enumerate(weights):
        assert got_auc[row] == pytest.approx(roc_auc_score(labels, scores, sample_weight=weight), abs=1e-9)
        expected = average_precision_score(labels, scores, sample_weight=weight)
        assert got_ap[row] == pytest.approx(expected, abs=1e-9)


def test_blank_uncertain_and_unscored_rows_are_left_out() -> None:
    labels = [1, 0, np.nan, -1, 1, 0, 1]
    scores = [0.9, 0.1, 0.5, 0.4, 0.3, 0.7, np.nan]
    assert auc(labels, scores) == pytest.approx(roc_auc_score([1, 0, 1, 0], [0.9, 0.1, 0.3, 0.7]), abs=1e-12)


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0], [np.nan, np.nan, 1]])
def test_one_class_is_not_a_number(labels: list[float]) -> None:
    assert np.isnan(auc(labels, [0.1, 0.2, 0.3]))
    assert np.isnan(average_precision(labels, [0.1, 0.2, 0.3]))


def test_a_weighting_that_empties_a_class_is_not_a_number() -> None:
    ranking = rank([1, 0, 0], [3.0, 2.0, 1.0])
    weights = np.array([[0, 1, 1], [1, 0, 0], [2, 1, 0], [0, 0, 0]])
    for area in weighted_areas(ranking, weights):
        np.testing.assert_array_equal(area, [np.nan, np.nan, 1.0, np.nan])


def test_macro_mean_ignores_nan() -> None:
    np.testing.assert_allclose(macro_mean([[0.5, np.nan, 0.7], [np.nan, np.nan, np.nan]]), [0.6, np.nan])


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="same length"):
        auc([1, 0], [0.5])
