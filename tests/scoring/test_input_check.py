"""The distance from chests, and the file that holds it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.spatial.distance import mahalanobis
from scipy.stats import ortho_group

from tier_cli.errors import CheckpointError
from tier_cli.scoring.input_check import (
    INPUT_CHECK,
    Gaussian,
    InputCheck,
    InputCheckKey,
    input_check_facts,
    read_input_check,
    write_input_check,
)

KEY = InputCheckKey("a" * 64, "b" * 64)
WIDTH = 6


def gaussian(seed: int, spread: float) -> Gaussian:
    rng = np.random.default_rng(seed)
    axes = ortho_group.rvs(WIDTH, random_state=seed)
    covariance = axes * (spread * rng.uniform(0.5, 2, WIDTH)) @ axes.T
    return Gaussian(rng.normal(size=WIDTH), np.linalg.cholesky(np.linalg.inv(covariance)))


@pytest.fixture
def check() -> InputCheck:
    return InputCheck(gaussian(0, 0.1), gaussian(1, 0.4), distance=30.0, ratio=5.0)


@pytest.fixture
def folder(tmp_path: Path, check: InputCheck) -> Path:
    write_input_check(tmp_path, check, KEY, {"fitted_on": {"split": "train"}})
    return tmp_path


def test_score_is_the_larger_of_distance_and_ratio_over_their_limits(check: InputCheck) -> None:
    images = np.random.default_rng(2).normal(size=(20, WIDTH)) * 7
    units = images / np.linalg.norm(images, axis=1, keepdims=True)
    expected = []
    for image in units:
        near, far = (
            mahalanobis(image, one.mean, one.factor @ one.factor.T) ** 2
            for one in (check.chests, check.altered)
        )
        expected.append(max(near / 30, near / far / 5))
    np.testing.assert_allclose(check.score(images), expected, rtol=1e-10)


def test_no_embedding_no_score(check: InputCheck) -> None:
    assert not np.isfinite(check.score(np.array([[0.0] * WIDTH, [np.nan] * WIDTH]))).any()


def test_the_file_gives_the_same_scores_and_the_hash_of_its_bytes(folder: Path, check: InputCheck) -> None:
    images = np.random.default_rng(3).normal(size=(5, WIDTH))
    read, note = read_input_check(folder, KEY, WIDTH)
    assert read is not None
    assert note == ""
    np.testing.assert_allclose(read.score(images), check.score(images), rtol=1e-5)
    assert read.hash == hashlib.sha256((folder / INPUT_CHECK).read_bytes()).hexdigest()
    assert (input_check_facts(folder) or {})["fitted_on"] == {"split": "train"}


def test_another_limit_is_another_check(tmp_path: Path, check: InputCheck) -> None:
    hashes = set()
    for limit in (30.0, 31.0):
        write_input_check(tmp_path, replace(check, distance=limit), KEY, {})
        read, _ = read_input_check(tmp_path, KEY, WIDTH)
        assert read is not None
        hashes.add(read.hash)
    assert len(hashes) == 2


def test_a_folder_without_a_check_says_nothing(tmp_path: Path) -> None:
    assert read_input_check(tmp_path, KEY, WIDTH) == (None, "")
    assert input_check_facts(tmp_path) is None


def test_a_check_of_other_weights_is_not_used(folder: Path) -> None:
    read, note = read_input_check(folder, replace(KEY, weights="c" * 64), WIDTH)
    assert read is None
    assert note == "images are not checked: the input check was fitted for other weights"


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "nan", "shape", "missing"])
def test_a_damaged_file_is_refused(folder: Path, damage: str) -> None:
    path = folder / INPUT_CHECK
    raw = path.read_bytes()
    if damage in ("cut", "empty", "text"):
        path.write_bytes({"cut": raw[:-9], "empty": b"", "text": b"{}" * 40}[damage])
    else:
        from safetensors import safe_open

        tensors = load_file(path)
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
        if damage == "nan":
            tensors["chests_mean"][0] = np.nan
        elif damage == "shape":
            tensors["altered_factor"] = tensors["altered_factor"][:-1].copy()
        else:
            del tensors["altered_mean"]
        save_file(tensors, path, metadata)
    with pytest.raises(CheckpointError, match=f"{INPUT_CHECK}: is not a valid input check"):
        read_input_check(folder, KEY, WIDTH)


def test_a_check_of_another_width_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a valid input check"):
        read_input_check(folder, KEY, WIDTH + 1)
