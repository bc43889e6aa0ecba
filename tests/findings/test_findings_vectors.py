"""Finding vectors against the method page, computed another way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tier_cli.errors import FindingSetError
from tier_cli.findings.load import builtin
from tier_cli.findings.schema import Finding, FindingSet
from tier_cli.findings.vectors import FindingVectors, embed_findings


class Embedder:
    """Gives every text its own random unit vector and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.table: dict[str, NDArray[np.float32]] = {}

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        generator = np.random.default_rng(7)
        rows = generator.standard_normal((len(texts), 16)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        self.table |= dict(zip(texts, rows, strict=True))
        return rows


def test_a_vector_is_the_normalised_mean_of_unit_embeddings() -> None:
    fs, embed = builtin("chexpert14"), Embedder()
    vectors = embed_findings(fs, embed)
    assert vectors.positive.shape == vectors.negative.shape == (14, 16)
    assert vectors.positive.dtype == vectors.negative.dtype == np.float32
    for row, finding in enumerate(fs.findings):
        for side, prompts in ((vectors.positive, finding.positive), (vectors.negative, finding.negative)):
            total = sum(embed.table[prompt].astype(float) for prompt in prompts)
            np.testing.assert_allclose(side[row], total / np.sqrt((total**2).sum()), atol=1e-6)


def test_each_distinct_prompt_is_embedded_once() -> None:
    embed = Embedder()
    embed_findings(builtin("chexpert14"), embed)
    assert len(embed.asked) == len(set(embed.asked))
    assert embed.asked.count("The lungs are clear.") == 1


def test_prompts_that_cancel_out_are_refused() -> None:
    fs = FindingSet("x", (Finding("a", "A", (), ("p", "q"), ("n",)),))
    rows = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(FindingSetError, match=r"x \[findings.a\] positive: .* no common direction"):
        embed_findings(fs, lambda texts: rows[: len(texts)])
    with pytest.raises(FindingSetError, match="no common direction"):
        embed_findings(fs, lambda texts: np.full((len(texts), 2), np.nan))


def test_wrong_shapes_are_refused() -> None:
    fs = FindingSet("x", (Finding("a", "A", (), ("p",), ("n",)),))
    with pytest.raises(ValueError, match=r"2 prompts gave embeddings of shape \(3, 4\)"):
        embed_findings(fs, lambda texts: np.ones((3, 4)))
    with pytest.raises(ValueError, match="equal shape"):
        FindingVectors(np.ones((2, 4), np.float32), np.ones((3, 4), np.float32))
