"""Adaptation helps if labelled images add information to the prompts, else leaves scores unchanged."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tier_cli.evaluation.truth import Labelled
from tier_cli.fitting.adapt import MIN_PATIENTS, MIXES, fit_adaptation

SIZE = 24


def _data(count: int, signal: float, seed: int) -> tuple[np.ndarray, np.ndarray, Labelled]:
    """Embeddings with one informative direction, and own scores that see another one."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((count, 2)) < 0.3).astype(float)
    directions = np.eye(SIZE)[:2] * signal
    pooled = generator.normal(size=(count, SIZE)) + labels @ directions
    own = 0.1 * generator.normal(size=(count, 2))
    patients = np.array([f"p{number // 2}" for number in range(count)])
    return pooled, own, Labelled(("a", "b"), labels, patients)


def test_adaptation_generalises_to_new_images() -> None:
    pooled, own, truth = _data(200, 2.0, 0)
    adapted = fit_adaptation(pooled, own, truth, ["x", "b", "a"])
    assert adapted.adaptation is not None
    assert adapted.adaptation.mix.tolist() == [0, adapted.facts["mix"], adapted.facts["mix"]]
    pooled, own, truth = _data(500, 2.0, 1)
    wide = np.stack([np.zeros(500), own[:, 1], own[:, 0]], axis=1)
    scores = adapted.adaptation.apply(pooled, wide)
    assert (scores[:, 0] == 0).all()
    for number, column in ((0, 2), (1, 1)):
        labels = truth.labels[:, number]
        new = roc_auc_score(labels, scores[:, column])
        assert new > 0.85 > roc_auc_score(labels, own[:, number])
        claimed = adapted.facts["findings"][truth.findings[number]]["auc"]["mixed"]
        assert claimed == pytest.approx(new, abs=0.06)


def test_uninformative_embeddings_are_not_mixed_in() -> None:
    alone = []
    for seed in range(8):
        pooled, own, truth = _data(200, 0.0, seed)
        adapted = fit_adaptation(pooled, own + truth.labels * 0.2, truth, ["a", "b"])
        assert adapted.facts["mix"] <= MIXES[3]
        alone += [entry["auc"]["gda_alone"] for entry in adapted.facts["findings"].values()]
    # Judged on the images of the fit it would be 0.8.
    assert np.mean(alone) == pytest.approx(0.5, abs=0.05)


def test_without_a_gain_there_is_no_adaptation() -> None:
    pooled, _, truth = _data(200, 0.0, 3)
    adapted = fit_adaptation(pooled, truth.labels + 0.0, truth, ["a", "b"])
    assert adapted.adaptation is None
    assert adapted.facts["mix"] == 0


def test_findings_with_too_few_patients_keep_their_scores() -> None:
    pooled, own, truth = _data(200, 2.0, 4)
    truth.labels[:, 1] = 0
    truth.labels[: 2 * (MIN_PATIENTS - 1), 1] = 1
    adapted = fit_adaptation(pooled, own, truth, ["a", "b"])
    assert adapted.adaptation is not None
    assert adapted.adaptation.mix[1] == 0
    assert adapted.facts["not_adapted"] == {"b": "only 4 patients with the finding; gda needs at least 5"}


def test_images_of_one_patient_are_never_on_both_sides() -> None:
    # Each patient twice with the same image: were the copies apart, noise would look like signal.
    generator = np.random.default_rng(5)
    once, labels = generator.normal(size=(60, SIZE)), (np.arange(60) % 2).astype(float)
    pooled, truth = np.repeat(once, 2, axis=0), np.repeat(labels, 2)[:, None]
    patients = np.repeat([f"p{number}" for number in range(60)], 2)
    own = generator.normal(size=(120, 1))
    facts = fit_adaptation(pooled, own, Labelled(("a",), truth, patients), ["a"]).facts
    assert facts["findings"]["a"]["auc"]["gda_alone"] < 0.65


def test_blank_labels_are_left_out() -> None:
    pooled, own, truth = _data(200, 2.0, 6)
    one = fit_adaptation(pooled, own, truth, ["a", "b"])
    more = Labelled(
        truth.findings,
        np.concatenate([truth.labels, np.full((5, 2), np.nan)]),
        np.concatenate([truth.patients, ["z"] * 5]),
    )
    two = fit_adaptation(
        np.concatenate([pooled, pooled[:5]]), np.concatenate([own, own[:5]]), more, ["a", "b"]
    )
    assert one.adaptation is not None
    assert two.adaptation is not None
    np.testing.assert_array_equal(one.adaptation.weights, two.adaptation.weights)
