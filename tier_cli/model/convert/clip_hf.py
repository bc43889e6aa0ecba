"""Convert CLIP folders of transformers: config.json with model_type clip, weights, tokenizer files.

Radford et al. 2021. Image: the class token after a layer norm, projected. Text: the end token, projected.
"""

from __future__ import annotations

from typing import Any

from transformers import CLIPConfig

from tier_cli.findings.load import builtin
from tier_cli.model.configuration import TierConfig
from tier_cli.model.convert import Converted, Source
from tier_cli.model.convert.assemble import assemble
from tier_cli.model.convert.files import ForeignTensors, load_folder, read_json
from tier_cli.model.convert.processor import transformers_processor
from tier_cli.model.convert.tokenizer import tokenizer_folder

# The wrong end token in the configurations of early releases; it stands for the greatest id.
_WRONG_END = 2


def convert(source: Source, family: str) -> Converted:
    """Convert a CLIP folder of transformers."""
    folder = source.path
    foreign = ForeignTensors(load_folder(folder, "model", "pytorch_model"), str(folder))
    parts = CLIPConfig(**_plain(read_json(folder / "config.json")))
    text, vision = parts.text_config, parts.vision_config
    tokenizer = tokenizer_folder(source.tokenizer or folder, source.scratch, "clip", text.vocab_size)
    config = _config(parts)
    left_out = foreign.drop("position_ids")
    model = assemble(
        config,
        foreign,
        logit_scale=foreign.take("logit_scale"),
        image_tower=foreign.section("vision_model."),
        image_name=lambda name: f"vision_model.{name}",
        text_tower=foreign.section("text_model."),
        text_name=lambda name: f"text_model.{name}",
        image_projection={"linear.weight": foreign.take("visual_projection.weight")},
        text_projection={"linear.weight": foreign.take("text_projection.weight")},
    )
    preprocessing = transformers_processor(folder, vision.image_size)
    return Converted(model, tokenizer, preprocessing, builtin("chexpert14"), left_out)


def _config(parts: CLIPConfig) -> TierConfig:
    text, vision = parts.text_config, parts.vision_config
    return TierConfig(
        {**vision.to_dict(), "model_type": "clip_vision_model"},
        {**text.to_dict(), "model_type": "clip_text_model"},
        projection_dim=parts.projection_dim,
        image_pooling="pooler",
        image_head="linear",
        text_pooling="end",
        text_head="linear",
        end_token=None if text.eos_token_id == _WRONG_END else text.eos_token_id,
        # Attention is causal, and the end token precedes all padding.
        text_mask=False,
        # transformers' tokenizer does not clean, but training did.
        text_cleaning="clip",
        max_logit_scale=None,
        max_tokens=text.max_position_embeddings,
    )


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "auto_map"}
