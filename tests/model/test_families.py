"""Model features for other families' checkpoints: pooling, heads, padding, prompt averages."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import LEVIT, tiny_config, tiny_model
from torch.nn import functional

from tier_cli.errors import CheckpointError
from tier_cli.findings.load import builtin, load_findings
from tier_cli.model.checkpoint import Checkpoint, open_checkpoint, write_checksums
from tier_cli.model.configuration import TierConfig
from tier_cli.model.engine import Engine
from tier_cli.model.export import export_graphs
from tier_cli.model.finding_vectors import embed_prompts, finding_vectors, vectors_key
from tier_cli.model.modeling import TierModel
from tier_cli.model.open_engine import open_engine
from tier_cli.model.save import save_weights
from tier_cli.model.tokens import TextTokenizer

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
VIT = {"model_type": "vit", **SMALL, "image_size": 32, "patch_size": 8}


def _model(image: dict[str, Any] | None = None, **fields: Any) -> TierModel:
    config = tiny_config()
    image = image or config.image_tower
    torch.manual_seed(0)
    made = TierModel(TierConfig(image, config.text_tower, projection_dim=12, max_tokens=48, **fields))
    model: TierModel = made.eval()
    return model


def _ids() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.tensor([[7, 40, 9, 60, 11, 0], [50, 8, 70, 0, 0, 0]])
    return ids, (ids != 0).long()


def test_the_class_token_can_be_the_embedding() -> None:
    model = _model(VIT, image_pooling="class", image_head="linear")
    pixels = torch.randn(2, 3, 32, 32)
    head: Any = model.image_projection
    states = model.image_tower(pixel_values=pixels).last_hidden_state @ head.linear.weight.T
    features = model.encode_images(pixels)
    torch.testing.assert_close(features.pooled, states[:, 0])
    torch.testing.assert_close(features.patches, states[:, 1:])
    assert features.grid == (4, 4)


@pytest.mark.parametrize(("pooling", "kind"), [("class", "resnet"), ("pooler", "vit")])
def test_a_pooling_that_the_tower_lacks_is_refused(pooling: str, kind: str) -> None:
    with pytest.raises(CheckpointError, match=f"'{kind}' has no {pooling} output"):
        _model(VIT if kind == "vit" else None, image_pooling=pooling)


def test_texts_end_at_the_first_end_token_or_the_greatest_id() -> None:
    ids, mask = _ids()
    # What follows the end may repeat it: padding, in CLIP's tokenizer.
    ids[0, 5] = 60
    greatest = _model(text_pooling="end").encode_texts(ids, mask)
    torch.testing.assert_close(greatest.pooled, greatest.tokens[[0, 1], [3, 2]])
    named = _model(text_pooling="end", end_token=8).encode_texts(ids[1:], mask[1:])
    torch.testing.assert_close(named.pooled, named.tokens[:, 1])
    last = _model(text_pooling="last").encode_texts(ids, mask)
    torch.testing.assert_close(last.pooled, last.tokens[:, -1])


def test_the_first_token_can_be_the_embedding_even_if_it_is_a_patch() -> None:
    swin = {"model_type": "swin", "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "image_size": 32}
    model = _model({**swin, "window_size": 4}, image_pooling="first", image_head="affine")
    pixels = torch.randn(2, 3, 32, 32)
    head: Any = model.image_projection
    torch.nn.init.normal_(head.linear.bias)
    expected = head.linear(model.image_tower(pixel_values=pixels).last_hidden_state)
    features = model.encode_images(pixels)
    torch.testing.assert_close(features.pooled, expected[:, 0])
    torch.testing.assert_close(features.patches, expected)
    assert features.grid == (4, 4)


def test_the_mean_of_texts_leaves_padding_out() -> None:
    """So that the vector of a prompt does not depend on the longest prompt beside it."""
    ids, mask = _ids()
    model = _model(text_pooling="mean", text_head="affine")
    texts = model.encode_texts(ids, mask)
    torch.testing.assert_close(texts.pooled[1], texts.tokens[1, :3].mean(dim=0))
    alone = model.encode_texts(ids[1:, :3], mask[1:, :3])
    torch.testing.assert_close(texts.pooled[1], alone.pooled[0])


def test_outputs_of_several_text_layers_are_averaged() -> None:
    ids, mask = _ids()
    model = _model(text_layers=[1, -1], text_head="linear")
    first: Any = model.text_tower.encoder.layer[0]
    seen: list[torch.Tensor] = []
    hook = first.register_forward_hook(
        lambda module, given, made: seen.append(made[0] if isinstance(made, tuple) else made)
    )
    last = model.text_tower(input_ids=ids, attention_mask=mask).last_hidden_state
    hook.remove()
    head: Any = model.text_projection
    torch.testing.assert_close(model.encode_texts(ids, mask).tokens, head.linear((seen[0] + last) / 2))


def test_a_tower_without_mask_sees_padding() -> None:
    ids, mask = _ids()
    model = _model(text_mask=False)
    assert not torch.allclose(
        model.encode_texts(ids, mask).pooled[1], model.encode_texts(ids[1:, :3], mask)[1]
    )
    states = model.text_tower(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    torch.testing.assert_close(model.encode_texts(ids, mask).tokens, model.text_projection(states))


def test_two_layer_head_is_that_of_open_clip() -> None:
    ids, mask = _ids()
    model = _model(text_head="two_layer", text_hidden_dim=14)
    head: Any = model.text_projection
    states = model.text_tower(input_ids=ids, attention_mask=mask).last_hidden_state
    expected = functional.gelu(states @ head.linear_in.weight.T) @ head.linear_out.weight.T
    torch.testing.assert_close(model.encode_texts(ids, mask).tokens, expected)
    assert head.linear_in.weight.shape == (14, 16)


def test_logits_have_the_bias_where_there_is_one() -> None:
    model, (ids, mask) = _model(logit_bias_init=-7.5), _ids()
    pixels = torch.randn(2, 3, 32, 32)
    with_bias = model(pixels, ids, mask).logits_per_image
    assert model.logit_bias is not None
    model.logit_bias.data.zero_()
    torch.testing.assert_close(with_bias, model(pixels, ids, mask).logits_per_image - 7.5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_pooling": "max"}, "image_pooling is 'max'.*mean, class, first, pooler"),
        ({"text_padding": "none"}, "text_padding is 'none'"),
        (
            {"text_head": "none"},
            "text_head is none, but the tower has 16 channels and projection_dim is 12",
        ),
        ({"image_head": "none"}, "image_head is none"),
    ],
)
def test_invalid_configurations_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        _model(**fields)


@pytest.fixture(scope="module")
def gridless(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Checkpoint:
    folder = tmp_path_factory.mktemp("gridless")
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "findings.toml"):
        (folder / name).write_bytes((tiny_folder / name).read_bytes())
    save_weights(folder, _model(LEVIT, image_pooling="pooler", image_head="linear"))
    write_checksums(folder)
    return open_checkpoint(folder)


@pytest.mark.parametrize("name", [pytest.param("onnx", marks=pytest.mark.slow), "torch"])
def test_a_tower_without_a_grid_classifies_and_says_that_it_has_no_patches(
    gridless: Checkpoint, name: str
) -> None:
    pixels = np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32)
    if name == "onnx":
        export_graphs(gridless.path)
        write_checksums(gridless.path)
        gridless = open_checkpoint(gridless.path)
    engine = open_engine(gridless, name, "cpu", threads=1)
    with torch.no_grad():
        model = TierModel.from_pretrained(gridless.path)
        expected = model.image_tower(pixel_values=torch.from_numpy(pixels)).pooler_output
        head: Any = model.image_projection
        expected = head.linear(expected)
    np.testing.assert_allclose(engine.encode_images(pixels), expected.numpy(), atol=1e-5)
    with pytest.raises(CheckpointError, match="no grid of patches"):
        engine.patches(pixels)


def test_training_on_a_tower_without_a_grid_says_so() -> None:
    with pytest.raises(CheckpointError, match=r"'levit'.*no grid"):
        _model(LEVIT)


def test_texts_are_padded_and_stripped_as_the_configuration_says(tiny: Checkpoint) -> None:
    usual, fixed = TextTokenizer(tiny.path, 48), TextTokenizer(tiny.path, 48, fixed=True, strip="!?.")
    ids, mask = fixed(["effusion?!", "clear lungs."])
    assert ids.shape == mask.shape == (2, 48)
    plain, plain_mask = usual(["effusion", "clear lungs"])
    np.testing.assert_array_equal(ids[:, : plain.shape[1]], plain)
    np.testing.assert_array_equal(mask.sum(1), plain_mask.sum(1))
    said = TextTokenizer.of(tiny.path, {"max_tokens": 20, "text_padding": "fixed", "strip": "."})
    assert said(["clear."])[1].sum() == usual(["clear"])[1].sum()
    assert said(["clear."])[0].shape == (1, 20)


class Lengths:
    """An engine whose texts have embeddings of different lengths."""

    def __init__(self, engine: Engine):
        self.embed_texts = engine.embed_texts
        self.project_texts = lambda texts: engine.project_texts(texts) * [[1 + len(t)] for t in texts]


def test_projections_are_averaged_by_their_length_where_the_configuration_says_so(tiny: Checkpoint) -> None:
    engine: Any = Lengths(open_engine(tiny, "torch", "cpu"))
    findings = load_findings("rib fracture")
    prompts = findings.findings[0].negative
    plain = dataclasses.replace(tiny, config={**tiny.config, "prompt_average": "projection"})
    for checkpoint, rows in ((tiny, engine.embed_texts(prompts)), (plain, engine.project_texts(prompts))):
        expected = rows.mean(0) / np.linalg.norm(rows.mean(0))
        vectors = embed_prompts(checkpoint, findings, engine)
        np.testing.assert_allclose(vectors.negative[0], expected, atol=1e-6)
    assert vectors_key(plain, findings) != vectors_key(tiny, findings)


def test_older_folders_keep_their_vectors(tiny: Checkpoint) -> None:
    # Neither a folder that lacks the later fields nor one that says their usual values computes them anew.
    later = (
        "image_pooling",
        "text_pooling",
        "text_head",
        "text_mask",
        "strip",
        "prompt_average",
        "text_cleaning",
    )
    older = {key: value for key, value in tiny.config.items() if key not in later}
    assert set(tiny.config) - set(older) == set(later)
    findings = builtin("chexpert5")
    assert vectors_key(dataclasses.replace(tiny, config=older), findings) == vectors_key(tiny, findings)


def test_the_bundled_model_opens_with_its_own_hashes_and_vectors() -> None:
    checkpoint = open_checkpoint("tier-small")
    listed = json.loads((checkpoint.path / "checksums.json").read_text())["files"]
    assert checkpoint.hashes["weights"] == listed["model.safetensors"]["sha256"]

    def engine() -> Engine:
        raise AssertionError("its stored vectors were not found")

    vectors = finding_vectors(checkpoint, builtin("chexpert5"), engine)
    assert vectors.positive.shape == (5, 128)


def test_the_model_without_the_later_fields_is_unchanged() -> None:
    model = tiny_model()
    assert [name for name, _ in model.named_parameters() if "logit" in name] == ["logit_scale"]
    assert sorted(name for name, _ in model.image_projection.named_children()) == [
        "conv_in",
        "conv_out",
        "norm",
    ]
