"""EVA-X and Ark+ against rebuilds of their architectures; image towers where findings are to be scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_biovil import random_weights
from foreign_towers import save_ark, save_eva_x
from tiny import tiny_config, tiny_model
from torch.nn.functional import interpolate

from tier_cli.app import main
from tier_cli.errors import CheckpointError
from tier_cli.model.configuration import TierConfig
from tier_cli.model.convert import convert
from tier_cli.model.convert.image_tower import read_image_tower, tower_normalisation
from tier_cli.model.modeling import TierModel
from tier_cli.model.save import save_weights
from tier_cli.model.towers import is_image_tower


@pytest.mark.parametrize("fused", [True, False], ids=["eva-x-s", "eva-x-b"])
def test_eva_x_gives_the_originals_tokens(tmp_path: Path, fused: bool) -> None:
    original = save_eva_x(tmp_path / "eva_x.pt", fused)
    config, model = read_image_tower(tmp_path / "eva_x.pt")
    assert (config["model_type"], config["image_size"], config["mlp_norm"]) == ("eva02", 64, not fused)
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model(pixels).last_hidden_state, original(pixels), atol=1e-5, rtol=1e-5)


def test_eva_x_takes_larger_images(tmp_path: Path) -> None:
    """Positions are interpolated; angles count patches of the size in training, as in EVA's fine-tuning."""
    original = save_eva_x(tmp_path / "eva_x.pt")
    _, model = read_image_tower(tmp_path / "eva_x.pt")
    pixels = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    grid = original.pos_embed[:, 1:].reshape(1, 4, 4, -1).movedim(-1, 1)
    with torch.no_grad():
        larger = interpolate(grid, (6, 6), mode="bicubic", antialias=True).flatten(2).transpose(1, 2)
        original.pos_embed = torch.nn.Parameter(torch.cat([original.pos_embed[:, :1], larger], dim=1))
        original.side, original.scale = 6, 4 / 6
        expected = original(pixels)
        found = model(pixels, interpolate_pos_encoding=True).last_hidden_state
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", [56, 112])
def test_ark_gives_the_teachers_patches(tmp_path: Path, side: int) -> None:
    teacher = save_ark(tmp_path / "Ark6_swinLarge768_ep50.pth.tar")
    config, model = read_image_tower(tmp_path / "Ark6_swinLarge768_ep50.pth.tar")
    assert (config["model_type"], config["depths"], config["window_size"]) == ("swin", [2, 1], 7)
    pixels = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model(pixels).last_hidden_state, teacher(pixels), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("separate", [False, True])
def test_eva_x_is_timms(tmp_path: Path, separate: bool) -> None:
    eva = pytest.importorskip("timm.models.eva")
    sizes: dict[str, Any] = {"img_size": 64, "patch_size": 16, "embed_dim": 128, "depth": 2, "num_heads": 2}
    kind = {"mlp_ratio": 8 / 3, "swiglu_mlp": True, "use_rot_pos_emb": True, "ref_feat_shape": (4, 4)}
    more = {"qkv_fused": False, "scale_mlp": True} if separate else {}
    original = random_weights(eva.Eva(**sizes, **kind, **more, use_fc_norm=False, num_classes=0))
    torch.save(original.state_dict(), tmp_path / "eva.pt")
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = read_image_tower(tmp_path / "eva.pt").model(pixels).last_hidden_state
        torch.testing.assert_close(found, original.forward_features(pixels), atol=1e-5, rtol=1e-5)


def test_later_timms_swin_is_read_too(tmp_path: Path) -> None:
    """It names the merging of patches by the stage that follows."""
    teacher = save_ark(tmp_path / "ark.pth.tar")
    content = torch.load(tmp_path / "ark.pth.tar", weights_only=True)
    later = {
        name.replace("module.", "").replace("layers.0.downsample", "layers.1.downsample"): tensor
        for name, tensor in content["teacher"].items()
    }
    torch.save({"teacher": later}, tmp_path / "later.pth.tar")
    pixels = torch.randn(1, 3, 56, 56)
    with torch.no_grad():
        found = read_image_tower(tmp_path / "later.pth.tar").model(pixels).last_hidden_state
        torch.testing.assert_close(found, teacher(pixels), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [("blocks.1.attn.q_bias", "missing blocks.1.attn.q_proj.bias"), ("norm.weight", "missing norm.weight")],
)
def test_missing_tensors_are_named(tmp_path: Path, name: str, message: str) -> None:
    state = save_eva_x(tmp_path / "whole.pt").state_dict()
    del state[name]
    torch.save(state, tmp_path / "eva_x.pt")
    with pytest.raises(CheckpointError, match=message):
        read_image_tower(tmp_path / "eva_x.pt")


def test_another_file_is_no_image_tower(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"not an image tower of a known kind.*EVA-X or Ark\+"):
        read_image_tower(tmp_path / "a.pt")


def test_a_checkpoint_with_eva_x_opens_as_it_was_written(tmp_path: Path) -> None:
    save_eva_x(tmp_path / "eva_x.pt", fused=False)
    tower = read_image_tower(tmp_path / "eva_x.pt")
    config = tiny_config()
    model = TierModel(TierConfig(tower.config, config.text_tower, projection_dim=12)).eval()
    model.image_tower = tower.model
    save_weights(tmp_path / "made", model, "float32")
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = TierModel.from_pretrained(tmp_path / "made").encode_images(pixels)
        torch.testing.assert_close(found.patches, model.encode_images(pixels).patches)
    assert found.grid == (4, 4)


def _rad_dino(folder: Path) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    Dinov2Model(Dinov2Config(**small, image_size=518, patch_size=14)).save_pretrained(folder)
    stated = {"image_mean": [0.5307] * 3, "image_std": [0.2583] * 3, "do_normalize": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    return folder


@pytest.mark.parametrize(
    ("kind", "alone"),
    [("dinov2", True), ("swin", True), ("vit", True), ("blip-2", False), ("clip", False), ("bert", False)],
)
def test_image_towers_are_told_from_models_that_read_texts(kind: str, alone: bool) -> None:
    assert is_image_tower(kind) is alone


def test_normalisation_is_that_of_the_tower(tmp_path: Path) -> None:
    save_eva_x(tmp_path / "eva_x.pt")
    save_ark(tmp_path / "ark.pth.tar")
    assert tower_normalisation(tmp_path / "eva_x.pt") == ((0.49185243,) * 3, (0.28509309,) * 3)
    assert tower_normalisation(tmp_path / "ark.pth.tar") == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert tower_normalisation(_rad_dino(tmp_path / "rad-dino")) == ((0.5307,) * 3, (0.2583,) * 3)
    tiny_model().image_tower.save_pretrained(tmp_path / "plain")
    assert tower_normalisation(tmp_path / "plain") is None


@pytest.mark.parametrize("kind", ["EVA-X", "Ark+", "dinov2"])
def test_an_image_tower_cannot_be_converted(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    if kind == "EVA-X":
        save_eva_x(source)
    elif kind == "Ark+":
        save_ark(source)
    else:
        _rad_dino(source)
    with pytest.raises(CheckpointError) as caught:
        convert(source, tmp_path / "made")
    assert f"an image tower ({kind}) without a text side" in str(caught.value)
    assert f"`tier train --image-tower {source} --text-tower FOLDER`" in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        ["patch_embed.proj.weight"],
        ["cls_token", "mask_token", "blocks.0.ls1.gamma"],
        ["embeddings.patch_embeddings.projection.weight"],
    ],
)
def test_other_image_towers_need_transformers_form(tmp_path: Path, names: list[str]) -> None:
    torch.save({name: torch.zeros(2) for name in names}, tmp_path / "tower.pth")
    with pytest.raises(CheckpointError, match=r"image tower.*--image-tower TRANSFORMERS-FOLDER"):
        convert(tmp_path / "tower.pth", tmp_path / "made")


@pytest.mark.parametrize("command", ["classify", "train"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_image_tower_is_no_model(
    command: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "file":
        save_eva_x(tmp_path / "tower")
    else:
        _rad_dino(tmp_path / "tower")
    tower = str(tmp_path / "tower")
    (tmp_path / "a.png").touch()
    (tmp_path / "data.csv").write_text("path,patient,view,Effusion\na.png,p1,FRONTAL,1\n")
    given = {
        "classify": ["classify", str(tmp_path / "a.png"), "--model", tower],
        "train": [
            "train",
            "--data",
            str(tmp_path / "data.csv"),
            "--output",
            str(tmp_path / "o"),
            "--init",
            tower,
        ],
    }
    assert main(given[command]) == 2
    said = "".join(capsys.readouterr().err.split())
    assert "imagetower" in said
    assert f"tiertrain--image-tower{tower}--text-towerFOLDER" in said


def test_another_model_of_transformers_is_to_be_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    assert main(["model", "info", str(tmp_path)]) == 2
    said = "".join(capsys.readouterr().err.split())
    assert f"tiermodelconvert{tmp_path}DEST" in said
