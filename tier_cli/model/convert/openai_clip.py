"""Convert CLIP in the layout of OpenAI's code (Radford et al. 2021), including CheXzero (Tiu et al. 2022)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tier_cli.findings.load import builtin
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.model.configuration import TierConfig
from tier_cli.model.convert import Converted, Source
from tier_cli.model.convert.assemble import assemble, split_rows
from tier_cli.model.convert.detect import OPENAI_NUMBERS
from tier_cli.model.convert.files import ForeignTensors
from tier_cli.model.convert.processor import CLIP_MEAN, CLIP_STD
from tier_cli.model.convert.templates import chexpert_findings
from tier_cli.model.convert.tokenizer import tokenizer_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

# The width of an attention head in OpenAI's code.
_HEAD = 64
_BLOCKS = "transformer.resblocks."
# CheXzero: mean and standard deviation of grey levels (0-255), and the side of the padded square.
_MEAN, _STD, _SQUARE = 101.48761, 83.43944, 320
# Prefixes of names in transformers -> in the file; one that ends with a dot covers all names below it.
_IMAGE = {
    "embeddings.class_embedding": "visual.class_embedding",
    "embeddings.patch_embedding.": "visual.conv1.",
    "embeddings.position_embedding.weight": "visual.positional_embedding",
    "pre_layrnorm.": "visual.ln_pre.",
    "post_layernorm.": "visual.ln_post.",
}
_TEXT = {
    "embeddings.token_embedding.": "token_embedding.",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.": "ln_final.",
}
_BLOCK = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def convert(source: Source, family: str) -> Converted:
    """Convert a state dict of OpenAI's CLIP."""
    foreign = ForeignTensors(source.weights, str(source.path))
    # Redundant numbers in OpenAI's archives: the shapes give the same values.
    left_out = foreign.drop(*OPENAI_NUMBERS)
    chexzero = family == "chexzero"
    config = clip_config(foreign, "quick_gelu", "softmax_pair" if chexzero else "cosine_difference")
    vocabulary = config.text_tower["vocab_size"]
    # Before the towers are built, which takes long: it is what users forget.
    tokenizer = tokenizer_folder(source.tokenizer or source.path.parent, source.scratch, "clip", vocabulary)
    model = clip_model(foreign, config)
    size = config.image_tower["image_size"]
    if not chexzero:
        preprocessing = Preprocessing(
            resize_short=None,
            crop=size,
            interpolation="bicubic",
            mean=CLIP_MEAN,
            std=CLIP_STD,
            eight_bit=True,
        )
        return Converted(model, tokenizer, preprocessing, builtin("chexpert14"), left_out)
    return Converted(
        model, tokenizer, _chexzero_pixels(size), chexpert_findings("chexzero", "no {}"), left_out
    )


def clip_config(
    foreign: ForeignTensors, activation: str, scoring: str, heads: tuple[int, int] | None = None
) -> TierConfig:
    """Return the configuration that the shapes of OpenAI's tensors describe.

    Parameters
    ----------
    foreign
        The tensors.
    activation, scoring
        What the tensors do not say.
    heads
        Attention heads of the image and the text tower, where heads do not have OpenAI's width.
    """
    vocabulary, text_width = foreign.shape("token_embedding.weight")
    length = foreign.shape("positional_embedding")[0]
    image_heads, text_heads = heads or (None, max(1, text_width // _HEAD))
    text = _tower("clip_text_model", foreign, "", text_width, activation, text_heads)
    special = {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "pad_token_id": 0}
    return TierConfig(
        vit_config(foreign, activation, image_heads),
        {**text, "vocab_size": vocabulary, "max_position_embeddings": length, **special},
        projection_dim=foreign.shape("text_projection")[1],
        image_pooling="pooler",
        image_head="linear",
        text_pooling="end",
        text_head="linear",
        # Attention is causal, and the end token precedes all padding.
        text_mask=False,
        text_cleaning="clip",
        max_logit_scale=None,
        scoring=scoring,
        max_tokens=length,
    )


def vit_config(foreign: ForeignTensors, activation: str, heads: int | None = None) -> dict[str, Any]:
    """Return the configuration of OpenAI's ViT; `heads` where heads do not have OpenAI's width."""
    width, _, patch, _ = foreign.shape("visual.conv1.weight")
    side = round((foreign.shape("visual.positional_embedding")[0] - 1) ** 0.5)
    tower = _tower(
        "clip_vision_model", foreign, "visual.", width, activation, heads or max(1, width // _HEAD)
    )
    return {**tower, "image_size": side * patch, "patch_size": patch}


def vit_tensors(foreign: ForeignTensors) -> dict[str, Tensor]:
    """Take the tensors of OpenAI's ViT without its projection, under transformers' names."""
    return {**_outside(foreign, _IMAGE), **_blocks(foreign.section(f"visual.{_BLOCKS}"))}


def vit_name(name: str) -> str:
    """Return the file's name for a tensor of OpenAI's ViT, for messages."""
    return _own_name(name, _IMAGE, f"visual.{_BLOCKS}")


def clip_model(foreign: ForeignTensors, config: TierConfig) -> Any:
    """Build the model from OpenAI's tensors."""
    # OpenAI multiplies by these matrices from the right.
    image_projection = {"linear.weight": foreign.take("visual.proj").T.contiguous()}
    text_projection = {"linear.weight": foreign.take("text_projection").T.contiguous()}
    image = vit_tensors(foreign)
    text = {**_outside(foreign, _TEXT), **_blocks(foreign.section(_BLOCKS))}
    return assemble(
        config,
        foreign,
        logit_scale=foreign.take("logit_scale"),
        image_tower=image,
        image_name=vit_name,
        text_tower=text,
        text_name=lambda name: _own_name(name, _TEXT, _BLOCKS),
        image_projection=image_projection,
        text_projection=text_projection,
    )


def _tower(
    kind: str, foreign: ForeignTensors, prefix: str, width: int, activation: str, heads: int
) -> dict[str, Any]:
    block = f"{prefix}{_BLOCKS}{{}}."
    return {
        "model_type": kind,
        "hidden_size": width,
        "intermediate_size": foreign.shape(block.format(0) + "mlp.c_fc.weight")[0],
        "num_hidden_layers": foreign.layers(block),
        "num_attention_heads": heads,
        "hidden_act": activation,
    }


def _outside(foreign: ForeignTensors, begins: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the tensors of a tower outside its blocks, under transformers' names."""
    renamed: dict[str, Tensor] = {}
    for new, old in begins.items():
        if old.endswith("."):
            renamed |= {new + name: tensor for name, tensor in foreign.section(old).items()}
        else:
            renamed[new] = foreign.take(old)
    return renamed


def _own_name(name: str, begins: Mapping[str, str], blocks: str) -> str:
    """Return the file's name for a tensor of a tower, for messages."""
    if found := re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)", name):
        rest = re.sub(r"^self_attn\.[qkv]_proj\.", "attn.in_proj_", found[2])
        for old, new in _BLOCK.items():
            rest = old + rest.removeprefix(new) if rest.startswith(f"{new}.") else rest
        return f"{blocks}{found[1]}.{rest}"
    for new, old in begins.items():
        if name.startswith(new):
            return old + name.removeprefix(new)
    return name


def _blocks(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of blocks, such as ``N.attn.in_proj_weight``, under transformers' names."""
    renamed = {}
    for name, tensor in tensors.items():
        number, _, rest = name.partition(".")
        part = next((old for old in _BLOCK if rest.startswith(f"{old}.")), None)
        new = _BLOCK[part] + rest.removeprefix(part) if part else rest
        renamed[f"encoder.layers.{number}.{new}"] = tensor
    for name in [name for name in renamed if name.endswith(("attn.in_proj_weight", "attn.in_proj_bias"))]:
        kind = name.rpartition("_")[2]
        parts = {f"self_attn.{part}_proj.{kind}": f"attn.in_proj_{kind}" for part in "qkv"}
        split_rows(renamed, name, parts)
    return renamed


def _chexzero_pixels(size: int) -> Preprocessing:
    """Return CheXzero's preprocessing: pad to 320, normalise, then resample for models with smaller input."""
    return Preprocessing(
        # Its training data, MIMIC-CXR-JPG, are equalised.
        rendering="minmax-equalized",
        resize_short=None,
        crop=size,
        fit="pad",
        interpolation="lanczos",
        mean=(_MEAN / 255,) * 3,
        std=(_STD / 255,) * 3,
        eight_bit=True,
        rounding="floor",
        square=_SQUARE if size != _SQUARE else None,
    )
