"""The patient bootstrap against a plain loop over scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tier_cli.metrics import bootstrap
from tier_cli.metrics.bootstrap import Estimate, resample
from tier_cli.metrics.statistics import ranking


def _case(seed: int = 0, rows: int = 90, findings: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (rows, findings)).astype(float)
    scores = np.round(rng.normal(size=(rows, findings)) + labels, 1)
    patients = np.array([f"p{number}" for number in rng.integers(0, rows // 3, rows)])
    return labels, scores, patients


def _bootstrap(
    labels: np.ndarray, scores: np.ndarray, patients: np.ndarray, replicates: int, seed: int = 0
) -> dict[str, Estimate]:
    return resample({0: ranking(labels, scores)}, patients, replicates=replicates, seed=seed)[0]


def test_replicates_equal_resampled_rows() -> None:
    labels, scores, patients = _case()
    labels[3, 1] = np.nan
    estimates = _bootstrap(labels, scores, patients, replicates=15, seed=4)
    keys = np.unique(patients)
    rng = np.random.default_rng(4)
    for replicate in range(15):
        drawn = rng.integers(0, len(keys), size=len(keys))
        rows = np.concatenate([np.flatnonzero(patients == keys[pick]) for pick in drawn])
        for finding in range(3):
            kept = rows[np.isfinite(labels[rows, finding])]
            truth, values = labels[kept, finding], scores[kept, finding]
            assert estimates["auc"].replicates[replicate, finding] == pytest.approx(
                roc_auc_score(truth, values), abs=1e-9
            )
            assert estimates["auprc"].replicates[replicate, finding] == pytest.approx(
                average_precision_score(truth, values), abs=1e-9
            )


def test_the_interval_of_an_average_precision_is_about_that_of_percentiles_and_contains_the_point() -> None:
    labels, scores, patients = _case()
    estimate = _bootstrap(labels, scores, patients, replicates=400)["auprc"]
    expected = np.percentile(estimate.replicates, [2.5, 97.5], axis=0).T
    np.testing.assert_allclose(estimate.interval(), expected, atol=0.08)
    assert (estimate.interval()[:, 0] < estimate.point).all()
    assert (estimate.point < estimate.interval()[:, 1]).all()


def test_same_seed_same_numbers_whatever_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores, patients = _case()
    whole = _bootstrap(labels, scores, patients, replicates=50, seed=1)["auc"]
    monkeypatch.setattr(bootstrap, "_CELLS", 700)
    np.testing.assert_array_equal(
        _bootstrap(labels, scores, patients, replicates=50, seed=1)["auc"].replicates, whole.replicates
    )
    other = _bootstrap(labels, scores, patients, replicates=50, seed=2)["auc"]
    assert not np.array_equal(other.replicates, whole.replicates)


def test_repeating_a_patients_images_does_not_narrow_the_interval() -> None:
    labels, scores, _ = _case(rows=60, findings=1)
    patients = np.arange(60).astype(str)
    once = _bootstrap(labels, scores, patients, replicates=300)["auc"]
    often = _bootstrap(
        np.repeat(labels, 5, axis=0), np.repeat(scores, 5, axis=0), np.repeat(patients, 5), replicates=300
    )["auc"]
    np.testing.assert_allclose(often.interval(), once.interval(), atol=1e-12)


def test_one_class_is_not_a_number_and_stays_out_of_the_macro_mean() -> None:
    labels, scores, patients = _case()
    labels[:, 2] = 0
    estimate = _bootstrap(labels, scores, patients, replicates=20)["auc"]
    assert np.isnan(estimate.point[2])
    assert np.isnan(estimate.interval()[2]).all()
    np.testing.assert_allclose(estimate.macro.point, estimate.point[:2].mean())
    np.testing.assert_allclose(estimate.macro.replicates[:, 0], estimate.replicates[:, :2].mean(axis=1))


def test_a_difference_is_paired_by_replicate() -> None:
    labels, scores, patients = _case()
    other = np.round(scores + np.random.default_rng(5).normal(size=scores.shape), 1)
    found = resample(
        {"ours": ranking(labels, scores), "theirs": ranking(labels, other)}, patients, replicates=30
    )
    difference = found["ours"]["auc"] - found["theirs"]["auc"]
    expected = [
        roc_auc_score(labels[:, f], scores[:, f]) - roc_auc_score(labels[:, f], other[:, f]) for f in range(3)
    ]
    np.testing.assert_allclose(difference.point, expected, atol=1e-9)
    apart = _bootstrap(labels, other, patients, replicates=30)["auc"]
    np.testing.assert_array_equal(difference.replicates, found["ours"]["auc"].replicates - apart.replicates)


def test_a_score_set_does_not_differ_from_itself() -> None:
    labels, scores, patients = _case()
    estimate = _bootstrap(labels, scores, patients, replicates=30)["auc"]
    difference = estimate - estimate
    np.testing.assert_array_equal(difference.interval(), np.zeros((3, 2)))


def test_nothing_to_measure_is_not_a_crash() -> None:
    estimate = _bootstrap(np.zeros((0, 2)), np.zeros((0, 2)), np.array([], dtype=str), replicates=5)["auc"]
    assert np.isnan(estimate.point).all()
    assert np.isnan(estimate.interval()).all()
    assert np.isnan(estimate.macro.interval()).all()
