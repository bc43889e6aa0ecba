"""Gaussian discriminant analysis compared with scikit-learn, and its files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.covariance import EmpiricalCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from tier_cli.errors import CheckpointError
from tier_cli.fitting.gda import fit_gda, fit_scaled_gda
from tier_cli.scoring.adaptation import (
    ADAPTATION,
    TENSORS,
    Adaptation,
    AdaptationKey,
    read_adaptation,
    unit,
    write_adaptation,
)

KEY = AdaptationKey("w" * 64, "p" * 64, "voi", "cosine_difference")


def _data(count: int, size: int, every: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = (np.arange(count) % every == 0).astype(float)
    shift = generator.normal(size=size) * 0.4
    return unit(generator.normal(size=(count, size)) + 1 + labels[:, None] * shift), labels


def test_with_many_images_it_is_linear_discriminant_analysis() -> None:
    images, labels = _data(50_000, 8, every=2)
    weights, bias = fit_gda(images, labels)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.5, 0.5]).fit(images, labels)
    ours = images @ weights + bias
    assert np.corrcoef(ours, theirs.decision_function(images))[0, 1] > 0.9999
    assert np.mean((ours > 0) == theirs.predict(images)) > 0.999


def test_with_few_images_it_is_the_published_ridge() -> None:
    images, labels = _data(20, 64)
    weights, bias = fit_gda(images, labels)
    means = [images[labels == label].mean(axis=0) for label in (0, 1)]
    centred = images - np.array(means)[labels.astype(int)]
    covariance = EmpiricalCovariance(assume_centered=True).fit(centred).covariance_ * 20 / 18
    precision = 64 * np.linalg.inv(19 * covariance + np.trace(covariance) * np.eye(64))
    np.testing.assert_allclose(weights, precision @ (means[1] - means[0]), rtol=1e-8)
    # With equal priors the border runs midway between the means.
    assert (means[0] + means[1]) / 2 @ weights + bias == pytest.approx(0, abs=1e-10)


def test_fit_has_the_spread_of_the_scores_it_is_mixed_with() -> None:
    images, labels = _data(60, 16)
    scores = np.random.default_rng(1).normal(size=60) * 0.07
    weights, bias = fit_scaled_gda(images, labels, scores)
    assert (images @ weights + bias).std() == pytest.approx(scores.std())


def test_one_class_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="both"):
        fit_gda(np.ones((3, 2)), np.ones(3))


@pytest.fixture
def adaptation() -> Adaptation:
    generator = np.random.default_rng(2)
    weights = generator.normal(size=(3, 5)).astype(np.float32).astype(float)
    return Adaptation(weights, np.array([0.5, 0.0, -1.0]), np.array([0.25, 0.0, 1.0]), "gda")


def test_mixture_of_the_two_scores(adaptation: Adaptation) -> None:
    generator = np.random.default_rng(3)
    pooled, own = generator.normal(size=(4, 5)) * 9, generator.normal(size=(4, 3))
    linear = (pooled / np.linalg.norm(pooled, axis=1)[:, None]) @ adaptation.weights.T + adaptation.bias
    mixed = adaptation.apply(pooled, own)
    np.testing.assert_allclose(mixed[:, 0], 0.75 * own[:, 0] + 0.25 * linear[:, 0])
    np.testing.assert_array_equal(mixed[:, 1], own[:, 1])
    np.testing.assert_allclose(mixed[:, 2], linear[:, 2])


def test_adaptation_survives_its_folder(adaptation: Adaptation, tmp_path: Path) -> None:
    assert read_adaptation(tmp_path, KEY) == (None, "")
    write_adaptation(tmp_path, adaptation, KEY, {"mix": 0.25})
    found, note = read_adaptation(tmp_path, KEY)
    assert found is not None
    assert (note, found.method) == ("", "gda")
    for name in ("weights", "bias", "mix"):
        np.testing.assert_array_equal(getattr(found, name), getattr(adaptation, name))
    first = found.hash
    write_adaptation(
        tmp_path, Adaptation(-adaptation.weights, adaptation.bias, adaptation.mix, "gda"), KEY, {}
    )
    changed, _ = read_adaptation(tmp_path, KEY)
    assert changed is not None
    assert changed.hash != first


@pytest.mark.parametrize("field", ["weights", "prompts", "rendering", "scoring"])
def test_adaptation_applies_only_to_what_it_was_fitted_for(
    adaptation: Adaptation, tmp_path: Path, field: str
) -> None:
    write_adaptation(tmp_path, adaptation, KEY, {})
    found, note = read_adaptation(tmp_path, AdaptationKey(**{**vars(KEY), field: "another"}))
    assert found is None
    assert field in note


def test_invalid_files_are_refused(adaptation: Adaptation, tmp_path: Path) -> None:
    write_adaptation(tmp_path, adaptation, KEY, {})
    whole = (tmp_path / TENSORS).read_bytes()
    for broken in (whole[:20], b""):
        (tmp_path / TENSORS).write_bytes(broken)
        with pytest.raises(CheckpointError, match=r"adaptation\.safetensors"):
            read_adaptation(tmp_path, KEY)
    nan = Adaptation(adaptation.weights * np.nan, adaptation.bias, adaptation.mix, "gda")
    write_adaptation(tmp_path, nan, KEY, {})
    with pytest.raises(CheckpointError, match=r"adaptation\.safetensors"):
        read_adaptation(tmp_path, KEY)
    (tmp_path / ADAPTATION).write_text(json.dumps({"method": "gda"}))
    with pytest.raises(CheckpointError, match=r"adaptation\.json"):
        read_adaptation(tmp_path, KEY)
