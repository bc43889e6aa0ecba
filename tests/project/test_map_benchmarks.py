"""The programs that measure maps: what random weights leave of them, and what finer maps gain."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bright_eye import bright_model, open_eye
from PIL import Image
from scipy.stats import spearmanr

from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.pipeline.explain import AS_IT_IS, Finer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def program(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module(name)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Six images with a bright square, and its box."""
    rng = np.random.default_rng(0)
    lines = ["path\tpatient\tboxes"]
    for number, (x, y) in enumerate(rng.integers(20, 80, (6, 2)).tolist()):
        pixels = np.add.outer(np.arange(128), np.arange(128)) / 3 + rng.normal(40, 8, (128, 128))
        pixels[y : y + 28, x : x + 28] = 255
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{number}.png")
        cell = json.dumps([{"finding": "bright spot", "box": [x, y, x + 28, y + 28]}]).replace('"', '""')
        lines.append(f'{number}.png\tp{number}\t"{cell}"')
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return read_manifest(tmp_path / "manifest.csv")


def test_random_weights_leave_nothing_of_a_map(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that passes whatever the weights are would hide that maps show only edges."""
    random_weights = program("random_weights", monkeypatch)
    job = open_eye(tmp_path / "eye", bright_model())
    trained, aucs, patients = random_weights.maps_of(job, manifest)
    assert trained.shape == (6, 49)
    assert len(set(patients)) == 6
    assert aucs.min() > 0.9
    model: Any = job.engine.model  # type: ignore[attr-defined]
    tower = {name: tensor.clone() for name, tensor in model.image_tower.state_dict().items()}
    assert random_weights.randomise(model, 0.0, 0) == 3
    assert all((tensor == tower[name]).all() for name, tensor in model.image_tower.state_dict().items())
    random_weights.randomise(model, 1.0, 0)
    maps, now, _ = random_weights.maps_of(job, manifest)
    found = random_weights.correlations(trained, maps)
    np.testing.assert_allclose(
        found, [spearmanr(*pair).statistic for pair in zip(trained, maps, strict=True)]
    )
    assert found.mean() < 0.5
    assert now.mean() < 0.8


def test_the_gain_of_finer_maps_is_paired(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    finer_maps = program("finer_maps", monkeypatch)
    job = open_eye(tmp_path / "eye", bright_model())
    rows = list(range(len(manifest)))
    usual, patients, _ = finer_maps.measured(job, manifest, rows, AS_IT_IS)
    finer, owners, _ = finer_maps.measured(job, manifest, rows, Finer(2))
    assert usual.shape == finer.shape == (6, 3)
    assert patients == owners
    assert finer[:, 2].mean() > 0.95
    low, high = finer_maps.intervals(finer - usual, patients, 100)[2][1:]
    assert low <= (finer - usual)[:, 2].mean() <= high
