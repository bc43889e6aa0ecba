"""`tier train --image-tower` starts from RAD-DINO, EVA-X and Ark+ as their authors publish them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_towers import save_ark, save_eva_x

from tier_cli.app import main
from tier_cli.imaging.preprocess import prepare
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.convert.image_tower import read_image_tower
from tier_cli.model.open_engine import open_engine


def _rad_dino(folder: Path) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    Dinov2Model(Dinov2Config(**small, image_size=70, patch_size=14)).save_pretrained(folder)
    stated = {"image_mean": [0.5307] * 3, "image_std": [0.2583] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    return folder


@pytest.fixture(params=["rad-dino", "eva-x", "ark"])
def tower(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, int, tuple[float, float], int]:
    """Kind, path, side of the images, mean and std of the first channel, and patches per side."""
    if request.param == "rad-dino":
        return "dinov2", _rad_dino(tmp_path / "rad-dino"), 56, (0.5307, 0.2583), 4
    if request.param == "eva-x":
        save_eva_x(tmp_path / "eva_x_small.pt")
        return "eva02", tmp_path / "eva_x_small.pt", 64, (0.49185243, 0.28509309), 4
    save_ark(tmp_path / "ark.pth.tar")
    return "swin", tmp_path / "ark.pth.tar", 56, (0.485, 0.229), 7


@pytest.mark.parametrize("engines", [("torch",), pytest.param(("torch", "onnx"), marks=pytest.mark.slow)])
def test_a_step_trains_the_tower(
    tower: tuple[str, Path, int, tuple[float, float], int],
    engines: tuple[str, ...],
    towers: list[str],
    manifest: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    if engines == ("torch",):
        request.getfixturevalue("without_graphs")
    kind, path, side, (mean, std), patches = tower
    text = ["--text-tower", towers[3], "--freeze-text-layers", "0", "--device", "cpu", "--workers", "0"]
    size = ["--image-size", str(side), "--batch-size", "32", "--epochs", "1", "--learning-rate", "1e-3"]
    out = tmp_path / "made"
    given = ["train", "--data", str(manifest), "--output", str(out), "--image-tower", str(path), *text, *size]
    assert main(given) == 0
    checkpoint = open_checkpoint(out)
    assert checkpoint.config["image_tower"]["model_type"] == kind
    assert (checkpoint.preprocessing.mean[0], checkpoint.preprocessing.std[0]) == (mean, std)
    record = json.loads((out / "training.json").read_text())
    assert path.name in json.dumps(record)
    # The engines open the checkpoint and agree, and the tower has learned.
    grey = np.random.default_rng(0).random((80, 80)).astype(np.float32)
    pixels = prepare(grey, checkpoint.preprocessing).pixels[None]
    found = [open_engine(checkpoint, name, "cpu").patches(pixels) for name in engines]
    assert {grid for _, grid in found} == {(patches, patches)}
    np.testing.assert_allclose(found[0][0], found[-1][0], atol=1e-4)
    if path.is_file():
        from tier_cli.model.modeling import TierModel

        before = read_image_tower(path).model.state_dict()
        after = TierModel.from_pretrained(out).image_tower.state_dict()
        assert set(before) == set(after)
        moved = [name for name in before if not torch.equal(before[name], after[name].float())]
        assert any("attn" in name or "attention" in name for name in moved)
