"""The model's heads, towers and geometry, against the method written out."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from page_code import blocks
from safetensors.torch import load_file, save_file
from tiny import tiny_config, tiny_model
from torch.nn import functional

from tier_cli.errors import CheckpointError
from tier_cli.model.configuration import TierConfig
from tier_cli.model.modeling import TierModel
from tier_cli.model.save import save_weights
from tier_cli.model.towers import run_image_tower

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
TOWERS: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "mobilenet_v2": ({"depth_multiplier": 0.1, "image_size": 64}, (2, 2)),
    "resnet": (
        {"embedding_size": 8, "hidden_sizes": [8, 8], "depths": [1, 1], "layer_type": "basic"},
        (8, 8),
    ),
    "vit": ({**SMALL, "image_size": 64, "patch_size": 16}, (4, 4)),
    "deit": ({**SMALL, "image_size": 64, "patch_size": 16}, (4, 4)),
    "dinov2": ({**SMALL, "image_size": 64, "patch_size": 16}, (4, 4)),
    "dinov2_with_registers": (
        {**SMALL, "image_size": 64, "patch_size": 16, "num_register_tokens": 4},
        (4, 4),
    ),
    "eva02": ({**SMALL, "image_size": 64, "patch_size": 16}, (4, 4)),
    "swin": (
        {
            "embed_dim": 8,
            "depths": [1, 1],
            "num_heads": [1, 2],
            "image_size": 64,
            "patch_size": 4,
            "window_size": 4,
        },
        (8, 8),
    ),
}


@pytest.fixture(scope="module")
def model() -> TierModel:
    return tiny_model()


def _texts(model: TierModel) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(
        5, model.text_tower.config.vocab_size, (3, 7), generator=torch.Generator().manual_seed(1)
    )
    mask = torch.ones(3, 7, dtype=torch.long)
    mask[1, 4:] = 0
    return ids, mask


def _towers(name: str) -> TierModel:
    config = TierConfig({"model_type": name, **TOWERS[name][0]}, tiny_config().text_tower)
    model: TierModel = TierModel(config).eval()
    return model


@pytest.mark.parametrize("name", TOWERS)
def test_any_tower_gives_a_grid(name: str) -> None:
    features = _towers(name).encode_images(torch.randn(2, 3, 64, 64))
    h, w = features.grid
    assert (h, w) == TOWERS[name][1]
    assert features.patches.shape == (2, h * w, 128)
    assert features.pooled.shape == (2, 128)


def test_the_tower_of_the_contributor_page_needs_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    entry, _ = blocks("add-an-image-tower.md", "python")
    (example,) = ast.literal_eval(f"{{{entry}}}").items()
    assert example[0] not in TOWERS, "the page must add a new family"
    monkeypatch.setitem(TOWERS, *example)
    test_any_tower_gives_a_grid(example[0])


@pytest.mark.parametrize("name", ["vit", "dinov2_with_registers"])
def test_tokens_before_the_patches_are_dropped(name: str) -> None:
    model = _towers(name)
    pixels = torch.randn(1, 3, 64, 64)
    states = model.image_tower(pixel_values=pixels).last_hidden_state
    grid = run_image_tower(model.image_tower, pixels)
    assert torch.equal(grid[0, :, 1, 2], states[0, states.shape[1] - 16 + 1 * 4 + 2])


@pytest.mark.parametrize("name", ["vit", "dinov2", "resnet"])
def test_other_sizes_than_the_configured_one(name: str) -> None:
    assert _towers(name).encode_images(torch.randn(1, 3, 64, 96)).grid[1] == TOWERS[name][1][1] * 3 // 2


def test_image_head_is_the_papers(model: TierModel) -> None:
    pixels = torch.randn(2, 3, 32, 32)
    head: Any = model.image_projection
    grid = model.image_grid(pixels)
    x = functional.conv2d(grid, head.conv_in.weight)
    norm = head.norm
    x = functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5)
    x = functional.conv2d(functional.relu(x), head.conv_out.weight, head.conv_out.bias)
    features = model.encode_images(pixels)
    torch.testing.assert_close(features.patches[:, 5], x[:, :, 1, 1])
    torch.testing.assert_close(features.pooled, x.mean((2, 3)))
    assert head.conv_in.bias is None


def test_text_head_is_the_papers(model: TierModel) -> None:
    ids, mask = _texts(model)
    head: Any = model.text_projection
    states = model.text_tower(input_ids=ids, attention_mask=mask).last_hidden_state
    x = functional.gelu(functional.linear(states, head.linear_in.weight, head.linear_in.bias))
    x = functional.layer_norm(x, x.shape[-1:], head.norm.weight, head.norm.bias, eps=1e-12)
    x = functional.linear(x, head.linear_out.weight, head.linear_out.bias)
    features = model.encode_texts(ids, mask)
    torch.testing.assert_close(features.tokens, x)
    torch.testing.assert_close(features.pooled, x[:, 0])


def test_forward_compares_unit_vectors(model: TierModel) -> None:
    pixels = torch.randn(3, 3, 32, 32)
    ids, mask = _texts(model)
    output = model(pixels, ids, mask)
    images, texts = model.encode_images(pixels), model.encode_texts(ids, mask)
    cosine = functional.cosine_similarity(images.pooled[1], texts.pooled[2], dim=0)
    torch.testing.assert_close(output.logits_per_image[1, 2], cosine / 0.07)
    matched = functional.cosine_similarity(texts.tokens[2, 3], images.patches[2, 9], dim=0)
    torch.testing.assert_close(output.similarities[2, 3, 9], matched)
    assert output.similarities.shape == (3, 7, 16)


def test_padding_does_not_change_a_text(model: TierModel) -> None:
    ids, mask = _texts(model)
    short = model.encode_texts(ids[1:2, :4], mask[1:2, :4]).pooled
    torch.testing.assert_close(model.encode_texts(ids, mask).pooled[1:2], short, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("bound", "scale"), [(100.0, 100.0), (None, math.exp(6))])
def test_logit_scale_is_clamped_unless_free(bound: float | None, scale: float) -> None:
    config = tiny_config()
    config.max_logit_scale = bound
    model = TierModel(config)
    torch.nn.init.constant_(model.logit_scale, 6.0)
    assert model.scale().item() == pytest.approx(scale, rel=1e-5)
    model.clamp_logit_scale()
    assert model.logit_scale.item() == pytest.approx(math.log(scale), rel=1e-6)
    model.scale().backward()
    assert model.logit_scale.grad is not None
    assert model.logit_scale.grad.item() > 0


@pytest.mark.parametrize("name", TOWERS)
def test_every_tower_survives_the_round_trip(name: str, tmp_path: Path) -> None:
    model = _towers(name)
    torch.nn.init.constant_(model.logit_scale, 1.5)
    save_weights(tmp_path, model)
    opened = TierModel.from_pretrained(tmp_path)
    assert opened.logit_scale.item() == 1.5
    for key, tensor in model.state_dict().items():
        torch.testing.assert_close(opened.state_dict()[key], tensor, atol=1e-3, rtol=1e-3, msg=key)
    pixels, (ids, mask) = torch.randn(3, 3, 64, 64), _texts(model)
    expected = model.half().float()(pixels, ids, mask)
    torch.testing.assert_close(opened(pixels, ids, mask).similarities, expected.similarities)


def test_from_pretrained_gives_back_the_same_in_fp32(tiny_folder: Path) -> None:
    stored, model = load_file(tiny_folder / "model.safetensors"), TierModel.from_pretrained(tiny_folder)
    assert model.dtype == torch.float32
    assert not model.training
    assert set(stored) == set(model.state_dict())
    assert all(
        torch.equal(stored[name].float(), tensor.float()) for name, tensor in model.state_dict().items()
    )
    assert stored["logit_scale"].dtype == torch.float16
    assert TierModel.from_pretrained(tiny_folder, dtype=torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_from_pretrained_names_tensors_that_do_not_fit(tiny_copy: Path, change: str) -> None:
    path = tiny_copy / "model.safetensors"
    tensors = load_file(path)
    if change == "unexpected":
        tensors["stray.weight"] = torch.zeros(2)
        expected = "1 unexpected .stray.weight."
    elif change == "missing":
        del tensors["text_projection.linear_in.bias"], tensors["image_projection.norm.running_mean"]
        expected = "2 missing .image_projection.norm.running_mean, text_projection.linear_in.bias."
    else:
        tensors["image_projection.conv_out.bias"] = torch.zeros(5)
        expected = "1 of a different shape .image_projection.conv_out.bias."
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=expected):
        TierModel.from_pretrained(tiny_copy)


def test_from_pretrained_reads_safetensors_only(tiny_copy: Path) -> None:
    torch.save(load_file(tiny_copy / "model.safetensors"), tiny_copy / "pytorch_model.bin")
    (tiny_copy / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        TierModel.from_pretrained(tiny_copy)


def test_cut_off_weights_are_refused(tiny_copy: Path) -> None:
    path = tiny_copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="truncated"):
        TierModel.from_pretrained(tiny_copy)


def test_towers_of_unknown_kind_are_refused() -> None:
    config = TierConfig(
        {"model_type": "no-such-tower", "auto_map": {"AutoModel": "evil.Evil"}}, {"model_type": "bert"}
    )
    assert "auto_map" not in config.image_tower
    with pytest.raises(CheckpointError, match="no-such-tower"):
        TierModel(config)


def _hugging_face_folder(folder: Path, tower: Any) -> Path:
    tower.half().save_pretrained(folder)
    return folder


def test_from_towers_takes_starting_weights_in_fp32(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel, ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    image = ResNetForImageClassification(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    )
    text = BertModel(BertConfig(vocab_size=50, **SMALL), add_pooling_layer=True)
    folders = [_hugging_face_folder(tmp_path / "image", image), _hugging_face_folder(tmp_path / "text", text)]
    model = TierModel.from_towers(*folders, projection_dim=10, entropy="paper")
    assert model.dtype == torch.float32
    assert (model.config.projection_dim, model.config.entropy) == (10, "paper")
    weights = model.image_tower.state_dict()
    assert all(
        torch.equal(weights[k], v.float()) for k, v in image.resnet.state_dict().items() if "num" not in k
    )
    assert torch.equal(
        model.text_tower.embeddings.word_embeddings.weight, text.embeddings.word_embeddings.weight.float()
    )


def test_from_towers_is_strict(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel, ResNetConfig, ResNetModel

    image = ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic"))
    image_folder = _hugging_face_folder(tmp_path / "image", image)
    folder = _hugging_face_folder(tmp_path / "text", BertModel(BertConfig(vocab_size=50, **SMALL)))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2}))
    with pytest.raises(CheckpointError, match=r"missing .encoder\.layer\.1"):
        TierModel.from_towers(image_folder, folder)
    with pytest.raises(CheckpointError, match="'bert' takes input_ids"):
        TierModel.from_towers(folder, folder)
