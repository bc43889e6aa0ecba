"""Scores against scipy's cosine."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from tier_cli.errors import CheckpointError
from tier_cli.findings.vectors import FindingVectors
from tier_cli.scoring.score import score


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


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
