"""Convert SigLIP folders of transformers, including MedSigLIP.

Zhai et al. 2023. Image: attention pooling. Text: the last of 64 positions, padding included and attended to.
Score: the sigmoid of the scaled and shifted cosine with the positive prompt.
"""

from __future__ import annotations

from dataclasses import replace

from transformers import SiglipConfig

from tier_cli.errors import CheckpointError
from tier_cli.findings.load import builtin
from tier_cli.imaging.preprocess import Fit
from tier_cli.model.configuration import TierConfig
from tier_cli.model.convert import Converted, Source
from tier_cli.model.convert.assemble import assemble
from tier_cli.model.convert.files import ForeignTensors, load_folder, read_json
from tier_cli.model.convert.processor import transformers_processor
from tier_cli.model.convert.tokenizer import tokenizer_folder
from tier_cli.model.loading import quiet_transformers

# By default the configuration names CLIP's tokens, which exceed the vocabulary; the tower needs none.
_NO_SPECIAL = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


# Its server and fine-tuning notebook pad to a square, its quick starts stretch.
_MEDSIGLIP_FIT: dict[str, Fit] = {"medsiglip": "pad", "medsiglip-stretch": "stretch"}


def convert(source: Source, family: str) -> Converted:
    """Convert a SigLIP folder of transformers."""
    folder = source.path
    foreign = ForeignTensors(load_folder(folder, "model", "pytorch_model"), str(folder))
    config_json = {
        key: value for key, value in read_json(folder / "config.json").items() if key != "auto_map"
    }
    with quiet_transformers():
        parts = SiglipConfig(**config_json)
    text, vision = parts.text_config, parts.vision_config
    if not vision.vision_use_head:
        raise CheckpointError(
            "the image tower has no pooling head, so it gives no embedding",
            where=str(folder),
            remedy="use a SigLIP with its pooling head",
        )
    tokenizer = tokenizer_folder(source.tokenizer or folder, source.scratch, "siglip", text.vocab_size)
    config = _config(parts)
    left_out = foreign.drop("position_ids")
    model = assemble(
        config,
        foreign,
        logit_scale=foreign.take("logit_scale"),
        logit_bias=foreign.take("logit_bias"),
        image_tower=foreign.section("vision_model."),
        image_name=lambda name: f"vision_model.{name}",
        text_tower=foreign.section("text_model."),
        text_name=lambda name: f"text_model.{name}",
    )
    preprocessing = transformers_processor(folder, vision.image_size)
    if family in _MEDSIGLIP_FIT:
        # The authors resize before the processor, so its own resize has no effect.
        preprocessing = replace(
            preprocessing,
            fit=_MEDSIGLIP_FIT[family],
            resize_short=None,
            interpolation="bilinear",
            antialias=False,
        )
    return Converted(model, tokenizer, preprocessing, builtin("chexpert14"), left_out)


def _config(parts: SiglipConfig) -> TierConfig:
    text, vision = parts.text_config, parts.vision_config
    return TierConfig(
        {**vision.to_dict(), "model_type": "siglip_vision_model"},
        {**text.to_dict(), "model_type": "siglip_text_model", **_NO_SPECIAL},
        projection_dim=vision.hidden_size,
        image_pooling="pooler",
        image_head="none",
        text_pooling="last",
        text_head="none",
        text_padding="fixed",
        text_mask=False,
        max_logit_scale=None,
        logit_bias_init=0.0,
        scoring="sigmoid",
        max_tokens=text.max_position_embeddings,
    )
