"""What is frozen, what learns, and what is computed twice to save memory."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny import tiny_model
from transformers import AutoConfig, AutoModel

from tier_cli.errors import UsageError
from tier_cli.training.loop.freezing import Encoders, check_freezing, text_layers

SIZES = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 3, "vocab_size": 90}


def tower(kind):
    widths = {"distilbert": {"hidden_dim": 64}}.get(kind, {"intermediate_size": 64})
    more = {"embedding_size": 16} if kind == "electra" else {}
    more |= {"pad_token_id": 0, "cls_token_id": 1} if kind == "modernbert" else {}
    return AutoModel.from_config(AutoConfig.for_model(kind, **SIZES, **widths, **more))


@pytest.mark.parametrize(
    "kind", ["bert", "roberta", "distilbert", "electra", "mpnet", "deberta-v2", "modernbert"]
)
def test_layers_and_embeddings_of_any_family_freeze(kind):
    model = tiny_model()
    model.text_tower = tower(kind)
    check_freezing(model, 0, 2)
    encoders = Encoders(model)
    encoders.freeze(2)
    learning = {id(p) for p in model.text_tower.parameters() if p.requires_grad}
    layers = text_layers(model.text_tower)
    assert all(id(p) in learning for p in layers[2].parameters())
    assert not any(id(p) in learning for layer in layers[:2] for p in layer.parameters())
    assert not any(id(p) in learning for p in model.text_tower.get_input_embeddings().parameters())
    assert all(p.requires_grad for p in model.image_tower.parameters())
    encoders.train_mode(2, statistics=True)
    assert layers[2].training
    assert not layers[1].training
    encoders.freeze(0)
    assert all(p.requires_grad for p in model.text_tower.parameters())


def test_what_cannot_be_frozen_is_refused_by_option():
    model = tiny_model()
    for blocks, layers, message in (
        (3, 0, "--freeze-image-blocks: the image tower has 2 blocks, not 3"),
        (0, 2, "--freeze-text-layers: the text tower has 1 layers, not 2"),
    ):
        with pytest.raises(UsageError, match=message):
            check_freezing(model, blocks, layers)
    model.text_tower = tower("albert")
    with pytest.raises(UsageError, match="'albert' text tower cannot be frozen one by one"):
        check_freezing(model, 0, 1)
    check_freezing(model, 0, 0)


def test_batch_norm_of_frozen_blocks_and_of_parts_stays():
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items() if "running" in name}
    encoders = Encoders(model, frozen_blocks=1)
    encoders.freeze(0)
    inputs = encoders.start()(torch.rand(4, 3, 32, 32)).detach()
    texts = torch.randint(5, 40, (4, 6)), torch.ones(4, 6, dtype=torch.long)
    encoders.train_mode(0, statistics=False)
    encoders(inputs, *texts)
    now = model.state_dict()
    assert all(torch.equal(value, now[name]) for name, value in before.items())
    encoders.train_mode(0, statistics=True)
    encoders(inputs, *texts)
    moved = {name for name, value in before.items() if not torch.equal(value, now[name])}
    assert moved
    assert not any("stages.0" in name or "embedder" in name for name in moved if "stages.1" not in name)


def test_activations_computed_twice_change_nothing():
    plain = tiny_model()
    again = copy.deepcopy(plain)
    found = []
    for model, checkpointed in ((plain, False), (again, True)):
        encoders = Encoders(model, checkpointed=checkpointed)
        encoders.freeze(0)
        encoders.train_mode(0, statistics=True)
        generator = torch.Generator().manual_seed(0)
        pixels = torch.rand(4, 3, 32, 32, generator=generator)
        ids = torch.randint(5, 40, (4, 6), generator=generator)
        torch.manual_seed(3)
        images, texts, _ = encoders(pixels, ids, torch.ones_like(ids))
        (images.patches.square().sum() + texts.tokens.square().sum()).backward()
        found.append(
            {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
            | dict(model.named_buffers())
        )
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, msg=name)


@pytest.mark.parametrize(("kind", "used"), [("convnext", False), ("resnet", True)])
def test_processes_look_for_unused_parameters_where_there_are_some(kind, used):
    """Without looking, a run over several GPUs ends at its second step."""
    from tier_cli.model.configuration import TierConfig
    from tier_cli.model.modeling import TierModel

    sizes = {
        "convnext": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
        "resnet": {"hidden_sizes": [8, 16], "depths": [1, 1], "embedding_size": 8},
    }
    text = tiny_model().config.text_tower
    built = Encoders(TierModel(TierConfig({"model_type": kind, **sizes[kind]}, text)))
    built.freeze(0)
    ids = torch.ones(2, 4, dtype=torch.long)
    images, texts, _ = built(torch.rand(2, 3, 64, 64), ids, ids)
    (images.pooled.sum() + texts.pooled.sum()).backward()
    without = [n for n, p in built.model.named_parameters() if p.grad is None and "logit" not in n]
    assert (not without) == used == built.all_parameters_used
