"""Scores against scipy's cosine, softmax and logistic function."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.spatial.distance import cdist
from scipy.special import expit, softmax
from tiny import tiny_checkpoint

from tier_cli.errors import CheckpointError
from tier_cli.findings.vectors import FindingVectors
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.scoring.score import ScoringRule, rule_of, score


def _unit(rows: np.ndarray) -> np.ndarray:
    unit: np.ndarray = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


@pytest.fixture
def vectors() -> FindingVectors:
    """Six findings in a space of 16 dimensions."""
    rng = np.random.default_rng(0)
    return FindingVectors(_unit(rng.normal(size=(6, 16))), _unit(rng.normal(size=(6, 16))))


def test_cosine_difference(vectors: FindingVectors) -> None:
    images = np.random.default_rng(1).normal(size=(5, 16)).astype(np.float32) * 30
    expected = cdist(images, vectors.negative, "cosine") - cdist(images, vectors.positive, "cosine")
    np.testing.assert_allclose(score(images, vectors), expected, atol=1e-6)


def test_range_and_length_of_the_embedding(vectors: FindingVectors) -> None:
    opposed = FindingVectors(vectors.positive, -vectors.positive)
    np.testing.assert_allclose(np.diag(score(vectors.positive, opposed)), 2, atol=1e-6)
    images = np.random.default_rng(1).normal(size=(5, 16))
    np.testing.assert_allclose(score(images, vectors), score(images * 1e-3, vectors), atol=1e-12)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_broken_embeddings_give_no_finite_score(vectors: FindingVectors, value: float) -> None:
    assert not np.isfinite(score(np.full((1, 16), value), vectors)).any()


def test_unknown_scoring_is_refused(vectors: FindingVectors) -> None:
    with pytest.raises(CheckpointError, match="'dot'"):
        score(np.ones((1, 16)), vectors, "dot")


def test_the_rules_of_other_families(vectors: FindingVectors) -> None:
    images = np.random.default_rng(1).normal(size=(5, 16)) * 30
    positive = 1 - cdist(images, vectors.positive, "cosine")
    negative = 1 - cdist(images, vectors.negative, "cosine")
    np.testing.assert_allclose(score(images, vectors, "cosine"), positive, atol=1e-6)
    pair = softmax(np.stack([positive, negative]), axis=0)[0]
    np.testing.assert_allclose(score(images, vectors, "softmax_pair"), pair, atol=1e-6)
    sigmoid = score(images, vectors, ScoringRule("sigmoid", 117.3, -12.9))
    np.testing.assert_allclose(sigmoid, expit(117.3 * positive - 12.9), atol=1e-6)


def test_sigmoid_does_not_overflow(vectors: FindingVectors) -> None:
    scores = score(vectors.positive, vectors, ScoringRule("sigmoid", 1e6, 0.0))
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(np.diag(scores), 1)


def test_sigmoid_without_its_numbers_is_refused(vectors: FindingVectors) -> None:
    with pytest.raises(ValueError, match="scale and bias"):
        score(np.ones((1, 16)), vectors, "sigmoid")


@pytest.mark.parametrize(("bound", "scale"), [(None, np.exp(5)), (100.0, 100.0)])
def test_sigmoid_takes_its_numbers_from_the_weights(
    tmp_path: Path, bound: float | None, scale: float
) -> None:
    folder = tiny_checkpoint(tmp_path)
    checkpoint = open_checkpoint(folder)
    changed = dataclasses.replace(
        checkpoint, scoring="sigmoid", config={**checkpoint.config, "max_logit_scale": bound}
    )
    with pytest.raises(CheckpointError, match="the number 'logit_bias'"):
        rule_of(changed)
    numbers = {"logit_scale": np.array(5.0, np.float32), "logit_bias": np.array([-10.0], np.float32)}
    save_file(numbers, folder / "model.safetensors")
    rule = rule_of(changed)
    assert (rule.name, rule.bias) == ("sigmoid", -10.0)
    assert rule.scale == pytest.approx(scale, rel=1e-6)
    assert rule_of(checkpoint) == ScoringRule("cosine_difference")
