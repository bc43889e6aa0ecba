"""The phantoms are not trivial: linear probes on small images and metadata stay weak."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.phantom.folder import write_folder

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "phantom" / "difficulty.py"


@pytest.fixture(scope="module")
def difficulty() -> ModuleType:
    spec = importlib.util.spec_from_file_location("difficulty", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("cohort")
    return read_manifest(write_folder(folder, 150, 4, size=64).manifest)


def test_a_linear_probe_on_small_images_is_weak(difficulty: ModuleType, cohort: Manifest) -> None:
    found = difficulty.difficulty(cohort, [16])
    assert found["images"] == 150
    assert 0.5 < found["pixels 16 x 16"]["mean"] < 0.80, "the whole measure is in benchmarks/phantom"
    # The best of several penalties on few pictures lies above one half by chance.
    assert found["metadata"]["mean"] < 0.62


def test_the_linear_probe_finds_an_easy_label(difficulty: ModuleType, cohort: Manifest) -> None:
    import numpy as np

    labels = np.stack([cohort.frame[name].astype(int) for name in difficulty.FINDINGS], axis=1)
    given_away = difficulty.probe(labels.astype(float), labels, cohort.patients())
    assert given_away["mean"] > 0.99
