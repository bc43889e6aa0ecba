"""Maps show the same quantity that scores come from."""

from __future__ import annotations

import numpy as np
import pytest

from tier_cli.findings.vectors import FindingVectors
from tier_cli.maps.similarity import finding_directions, similarities
from tier_cli.scoring.score import score

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("scoring", ["cosine_difference", "cosine"])
def test_a_patch_alone_would_get_its_similarity_as_score(scoring: str) -> None:
    patches = RNG.normal(size=(9, 5))
    unit = RNG.normal(size=(2, 3, 5))
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    vectors = FindingVectors(unit[0].astype(np.float32), unit[1].astype(np.float32))
    found = similarities(patches, finding_directions(vectors, scoring))
    np.testing.assert_allclose(found.T, score(patches, vectors, scoring), atol=1e-12)


def test_an_empty_patch_is_no_number_and_warns_of_nothing() -> None:
    found = similarities(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0]]))
    np.testing.assert_array_equal(found, [[np.nan, 1.0]])
