"""The spread of AUC over pairs of prompts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tier_cli.evaluation.sections.prompts import Pair, prompt_spread
from tier_cli.findings.schema import Finding
from tier_cli.findings.vectors import FindingVectors
from tier_cli.scoring.score import score

RNG = np.random.default_rng(2)
FINDING = Finding("nodule", "Nodule", (), ("a nodule", "a mass"), ("no nodule", "clear", "normal"))
TEXTS = (*FINDING.positive, *FINDING.negative)
VECTORS = {text: v / np.linalg.norm(v) for text in TEXTS for v in [RNG.normal(size=8).astype(np.float32)]}
IMAGES = RNG.normal(size=(50, 8)).astype(np.float32)


def _spread(labels: np.ndarray, images: np.ndarray = IMAGES) -> dict:  # type: ignore[type-arg]
    def of_pairs(pairs: Sequence[Pair]) -> np.ndarray:
        sides = [np.stack([VECTORS[pair[side] or ""] for pair in pairs]) for side in (0, 1)]
        return score(images, FindingVectors(*sides))

    return prompt_spread(FINDING, labels, images[:, 0].astype(float), of_pairs)


def test_each_pair_equals_scoring_with_these_two_prompts() -> None:
    labels = RNG.integers(0, 2, 50).astype(float)
    row = _spread(labels)
    unit = IMAGES / np.linalg.norm(IMAGES, axis=1, keepdims=True)
    expected = {
        (p, n): roc_auc_score(labels, unit @ VECTORS[p] - unit @ VECTORS[n])
        for p in FINDING.positive
        for n in FINDING.negative
    }
    assert {(pair["positive"], pair["negative"]): pair["auc"] for pair in row["pairs"]} == pytest.approx(
        expected, abs=1e-6
    )
    values = list(expected.values())
    assert row["min"] == pytest.approx(min(values), abs=1e-6)
    assert row["median"] == pytest.approx(np.median(values), abs=1e-6)
    assert row["max"] == pytest.approx(max(values), abs=1e-6)
    assert row["sd"] == pytest.approx(np.std(values), abs=1e-6)
    assert row["combined"] == pytest.approx(roc_auc_score(labels, IMAGES[:, 0]), abs=1e-6)
    assert (row["n"], row["positives"]) == (50, int(labels.sum()))


def test_blank_labels_and_images_without_scores_are_left_out() -> None:
    labels = RNG.integers(0, 2, 50).astype(float)
    labels[:10] = np.nan
    images = IMAGES.copy()
    images[10:20] = np.nan
    row = _spread(labels, images)
    assert row["n"] == 30
    assert row["median"] == pytest.approx(_spread(labels[20:], IMAGES[20:])["median"])


def test_one_class_has_no_spread() -> None:
    row = _spread(np.zeros(50))
    assert row["combined"] is None
    assert [row[name] for name in ("min", "median", "max", "sd")] == [None] * 4


def test_a_scoring_without_negatives_has_one_value_per_positive_prompt() -> None:
    labels = RNG.integers(0, 2, 50).astype(float)
    unit = IMAGES / np.linalg.norm(IMAGES, axis=1, keepdims=True)

    def of_pairs(pairs: Sequence[Pair]) -> np.ndarray:
        return np.asarray(unit @ np.stack([VECTORS[positive] for positive, _ in pairs]).T, np.float64)

    row = prompt_spread(FINDING, labels, unit[:, 0].astype(float), of_pairs, with_negatives=False)
    assert [(pair["positive"], pair["negative"]) for pair in row["pairs"]] == [
        ("a nodule", None),
        ("a mass", None),
    ]
    assert row["pairs"][1]["auc"] == pytest.approx(roc_auc_score(labels, unit @ VECTORS["a mass"]), abs=1e-6)
