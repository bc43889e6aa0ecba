"""Read open_clip: its own towers, or a timm ViT with a BERT (BiomedCLIP, Zhang et al. 2023)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.errors import CheckpointError
from tier_cli.findings.load import builtin
from tier_cli.model.configuration import TierConfig
from tier_cli.model.convert import Converted, Source
from tier_cli.model.convert.assemble import assemble, split_rows
from tier_cli.model.convert.bert import bert_config
from tier_cli.model.convert.files import ForeignTensors, load_folder, read_json
from tier_cli.model.convert.openai_clip import clip_config, clip_model
from tier_cli.model.convert.processor import open_clip_processor
from tier_cli.model.convert.tokenizer import tokenizer_folder

if TYPE_CHECKING:
    from torch import Tensor

# timm's ViT, in all its published sizes, gives every head of its attention this width; open_clip's by
# default.
_HEAD = 64
_CONFIG, _PARAMS = "open_clip_config.json", "params.txt"
_TEXT = "text.transformer."
_BLOCK = {
    "attn.proj": "attention.output.dense",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
# Options of a native CLIP that the tensors' shapes repeat, that are used here, or that matter in training
# only.
_NATIVE = {
    "vision_cfg": {"layers", "width", "patch_size", "image_size", "head_width", "mlp_ratio", "patch_dropout"},
    "text_cfg": {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"},
    "model_cfg": {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "init_logit_scale"},
}
# Values that leave a native CLIP as it is: the defaults of open_clip, which some configurations spell out.
_DEFAULTS = {
    "pool_type": ("tok", "argmax"),
    "pos_embed_type": ("learnable",),
    "proj_type": ("linear",),
    "block_type": ("default",),
    "attn_pooler_queries": (256,),
    "attn_pooler_heads": (8,),
    "hf_model_pretrained": (True,),
    "eos_id": (2,),
    "timm_pool": ("avg",),
    "timm_proj": ("linear",),
    "hf_proj_type": ("mlp",),
    "hf_pooler_type": ("mean_pooler",),
}
# open_clip's own models whose heads have the usual width, with the suffix of those that use quick GELU.
_USUAL_NAME = re.compile(r"ViT-[SMBL]-\d+(-\d+)?(?P<quick>-quickgelu)?")


def convert(source: Source, family: str) -> Converted:
    """Read a folder of open_clip, or a checkpoint of its training program."""
    config, where = _read_config(source.path)
    model_cfg = config.get("model_cfg", {})
    if source.path.is_dir():
        folder = source.path
        tensors = load_folder(folder, "open_clip_pytorch_model", "open_clip_model")
    else:
        folder, tensors = source.path.parent, source.weights
    foreign = ForeignTensors(tensors, str(source.path))
    tokenizer = source.tokenizer or folder
    read = _native if "visual.conv1.weight" in tensors else _timm
    return read(foreign, source, tokenizer, model_cfg, config.get("preprocess_cfg", {}), where)


def _read_config(source: Path) -> tuple[dict[str, Any], str]:
    """Return the configuration of a model, and the file it is from."""
    if source.is_dir():
        return read_json(source / _CONFIG), str(source / _CONFIG)
    beside = source.parent / _CONFIG
    if beside.is_file():
        return read_json(beside), str(beside)
    # The training program writes it one folder above its checkpoints.
    for path in (source.parent / _PARAMS, source.parent.parent / _PARAMS):
        if path.is_file():
            return _from_params(path), str(path)
    raise CheckpointError(
        "an open_clip training checkpoint without its configuration: the activation, quick GELU or GELU, is"
        " not in"
        " the file",
        where=str(source),
        remedy=f"put {_PARAMS} of the training run, or an {_CONFIG}, beside the file",
    )


def _from_params(path: Path) -> dict[str, Any]:
    """Return the configuration that the options of a training run describe."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    options = {name: value for name, found, value in (line.partition(": ") for line in lines) if found}
    model = options.get("model", "")
    name = _USUAL_NAME.fullmatch(model)
    write = f"write {_CONFIG} beside the file, with quick_gelu, vision_cfg and text_cfg of the model"
    if name is None:
        raise CheckpointError(f"the shape of the model '{model}' is not known", where=str(path), remedy=write)
    quick = bool(name["quick"]) or options.get("force_quick_gelu") == "True"
    if options.get("pretrained") == "openai" and not quick:
        # Releases differ in which of the two they train then.
        raise CheckpointError(
            f"'{model}' started from OpenAI's weights: whether it used quick GELU depends on the release of"
            " open_clip",
            where=str(path),
            remedy=write,
        )
    if options.get("force_context_length", "None") not in ("None", "77"):
        raise CheckpointError("another context length was forced", where=str(path), remedy=write)
    pixels = {
        key: options[option]
        for key, option in (("interpolation", "image_interpolation"), ("resize_mode", "image_resize_mode"))
        if options.get(option, "None") != "None"
    }
    numbers = {
        key: [float(number) for number in re.findall(r"[\d.]+", options[option])]
        for key, option in (("mean", "image_mean"), ("std", "image_std"))
        if options.get(option, "None") != "None"
    }
    return {"model_cfg": {"quick_gelu": quick}, "preprocess_cfg": {**pixels, **numbers}}


def _native(
    foreign: ForeignTensors,
    source: Source,
    tokenizer: Path,
    model_cfg: dict[str, Any],
    preprocess_cfg: dict[str, Any],
    where: str,
) -> Converted:
    """Read a CLIP of open_clip's own towers, which are those of OpenAI's code."""
    vision, text = model_cfg.get("vision_cfg", {}), model_cfg.get("text_cfg", {})
    for part, options in (("model_cfg", model_cfg), ("vision_cfg", vision), ("text_cfg", text)):
        _check_native(part, options, where)
    left_out = foreign.drop("attn_mask")
    image_width = foreign.shape("visual.conv1.weight")[0]
    text_width = foreign.shape("token_embedding.weight")[1]
    config = clip_config(
        foreign,
        "quick_gelu" if model_cfg.get("quick_gelu") else "gelu",
        "cosine_difference",
        (
            max(1, image_width // int(vision.get("head_width", _HEAD))),
            int(text.get("heads", max(1, text_width // _HEAD))),
        ),
    )
    length = int(text.get("context_length", 77))
    if length != config.max_tokens:
        raise CheckpointError(
            f"context_length is {length}, but the weights have {config.max_tokens} positions",
            where=where,
            remedy="use the configuration of this very model",
        )
    vocabulary = config.text_tower["vocab_size"]
    made = tokenizer_folder(tokenizer, source.scratch, "clip", vocabulary)
    model = clip_model(foreign, config)
    preprocessing = open_clip_processor(preprocess_cfg, config.image_tower["image_size"], where)
    return Converted(model, made, preprocessing, builtin("chexpert14"), left_out)


def _check_native(part: str, options: dict[str, Any], where: str) -> None:
    """Refuse options of a native CLIP that would change what it computes."""
    for name, value in options.items():
        if name in _NATIVE[part] or not value or value in _DEFAULTS.get(name, ()):
            continue
        raise CheckpointError(
            f"{part} {name} is {value!r}, which is not supported for open_clip's own towers",
            where=where,
            remedy="if transformers' files are in the folder too, choose those with --family clip or siglip",
        )


def _timm(
    foreign: ForeignTensors,
    source: Source,
    tokenizer: Path,
    model_cfg: dict[str, Any],
    preprocess_cfg: dict[str, Any],
    where: str,
) -> Converted:
    """Read a timm ViT with a BERT."""
    text_cfg = model_cfg.get("text_cfg", {})
    _check(model_cfg, where)
    left_out = foreign.drop("position_ids")
    config = _config(foreign, int(text_cfg.get("context_length", 77)))
    vocabulary = config.text_tower["vocab_size"]
    made = tokenizer_folder(tokenizer, source.scratch, "bert", vocabulary)
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
    preprocessing = open_clip_processor(preprocess_cfg, config.image_tower["image_size"], where)
    return Converted(model, made, preprocessing, builtin("chexpert14"), left_out)


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
        "text_cfg tokenizer_kwargs": (text.get("tokenizer_kwargs"), not text.get("tokenizer_kwargs")),
    }
    for name, (value, fits) in expected.items():
        if not fits:
            raise CheckpointError(
                f"{name} is {value!r}",
                where=where,
                remedy="only a timm ViT with its class token and a BERT with its [CLS] token are supported,"
                " or"
                " open_clip's own towers; if transformers' files are in the folder too, choose those with"
                " --family clip or"
                " siglip",
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
        text_cleaning="clip",
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
