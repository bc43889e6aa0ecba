"""Folders of open_clip with a timm ViT and a BERT: BiomedCLIP (Zhang et al. 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tier_cli.errors import CheckpointError
from tier_cli.findings.load import builtin
from tier_cli.model.configuration import TierConfig
from tier_cli.model.convert import Converted, Source
from tier_cli.model.convert.assemble import assemble, split_rows
from tier_cli.model.convert.bert import bert_config
from tier_cli.model.convert.files import ForeignTensors, load_folder, read_json
from tier_cli.model.convert.processor import open_clip_processor
from tier_cli.model.convert.tokenizer import tokenizer_folder

if TYPE_CHECKING:
    from torch import Tensor

# timm's ViT, in all its published sizes, gives every head of its attention this width.
_HEAD = 64
_CONFIG = "open_clip_config.json"
_TEXT = "text.transformer."
_BLOCK = {
    "attn.proj": "attention.output.dense",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def convert(source: Source, family: str) -> Converted:
    """Read a folder of open_clip."""
    folder, where = source.path, str(source.path / _CONFIG)
    said = read_json(folder / _CONFIG)
    model_cfg = said.get("model_cfg", {})
    text_cfg = model_cfg.get("text_cfg", {})
    _check(model_cfg, where)
    foreign = ForeignTensors(load_folder(folder, "open_clip_pytorch_model", "open_clip_model"), str(folder))
    left_out = foreign.drop("position_ids")
    config = _config(foreign, int(text_cfg.get("context_length", 77)))
    model = assemble(
        config,
        foreign,
        logit_scale=foreign.take("logit_scale"),
        image_projection={"linear.weight": foreign.take("visual.head.proj.weight")},
        text_projection={
            "linear_in.weight": foreign.take("text.proj.0.weight"),
            "linear_out.weight": foreign.take("text.proj.2.weight"),
        },
        image_tower=_vit(foreign.section("visual.trunk.")),
        text_tower=foreign.section(_TEXT),
        text_name=lambda name: _TEXT + name,
    )
    vocabulary = config.text_tower["vocab_size"]
    tokenizer = tokenizer_folder(source.tokenizer or folder, source.scratch, "bert", vocabulary)
    preprocessing = open_clip_processor(
        said.get("preprocess_cfg", {}), config.image_tower["image_size"], where
    )
    return Converted(model, tokenizer, preprocessing, builtin("chexpert14"), left_out)


def _check(model_cfg: dict[str, Any], where: str) -> None:
    """Refuse models that differ in ways that the tensors do not show."""
    vision, text = model_cfg.get("vision_cfg", {}), model_cfg.get("text_cfg", {})
    timm = str(vision.get("timm_model_name", ""))
    expected = {
        "vision_cfg timm_model_name": (timm, timm.startswith("vit_")),
        "vision_cfg timm_pool": (vision.get("timm_pool", ""), vision.get("timm_pool", "") in ("", "token")),
        "text_cfg hf_model_name": (text.get("hf_model_name"), "hf_model_name" in text),
        "text_cfg pooler_type": _either(
            text, "hf_pooler_type", "pooler_type", "cls_last_hidden_state_pooler"
        ),
        "text_cfg proj_type": _either(text, "hf_proj_type", "proj", "mlp"),
    }
    for name, (value, fits) in expected.items():
        if not fits:
            raise CheckpointError(
                f"{name} is {value!r}",
                where=where,
                remedy="only a timm ViT with its class token and a BERT with its [CLS] token are read; where"
                " transformers' files lie beside, choose those with --family clip or siglip",
            )


def _either(text: dict[str, Any], new: str, old: str, wanted: str) -> tuple[Any, bool]:
    value = text.get(new, text.get(old))
    return value, value == wanted


def _config(foreign: ForeignTensors, length: int) -> TierConfig:
    trunk = "visual.trunk."
    width, _, patch, _ = foreign.shape(trunk + "patch_embed.proj.weight")
    side = round((foreign.shape(trunk + "pos_embed")[1] - 1) ** 0.5)
    image = {
        "model_type": "vit",
        "hidden_size": width,
        "num_hidden_layers": foreign.layers(trunk + "blocks.{}."),
        "num_attention_heads": max(1, width // _HEAD),
        "intermediate_size": foreign.shape(trunk + "blocks.0.mlp.fc1.weight")[0],
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "image_size": side * patch,
        "patch_size": patch,
    }
    text = bert_config(foreign, _TEXT)
    return TierConfig(
        image,
        text,
        projection_dim=foreign.shape("visual.head.proj.weight")[0],
        image_pooling="class",
        image_head="linear",
        text_head="two_layer",
        text_hidden_dim=foreign.shape("text.proj.0.weight")[0],
        max_logit_scale=None,
        max_tokens=min(length, text["max_position_embeddings"]),
    )


def _vit(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of timm's ViT as in transformers' public ViT checkpoints."""
    fixed = {
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
        "norm.weight": "layernorm.weight",
        "norm.bias": "layernorm.bias",
    }
    renamed = {fixed.get(name, name): tensor for name, tensor in tensors.items()}
    for name in [name for name in renamed if name.startswith("blocks.")]:
        _, number, rest = name.split(".", 2)
        part = next((old for old in _BLOCK if rest.startswith(f"{old}.")), None)
        new = _BLOCK[part] + rest.removeprefix(part) if part else rest
        renamed[f"encoder.layer.{number}.{new}"] = renamed.pop(name)
    for name in [name for name in renamed if ".attn.qkv." in name]:
        split_rows(renamed, name, {f"attention.attention.{p}": "attn.qkv" for p in ("query", "key", "value")})
    return renamed
