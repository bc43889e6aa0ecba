"""Convert UniMed-CLIP (Khattak et al. 2024): OpenAI's ViT and a BiomedBERT, in one ``.pt`` file.

Image: the class token after a layer norm, projected. Text: [CLS] of the last layer, projected by two layers.
"""

from __future__ import annotations

from tier_cli.findings.load import builtin
from tier_cli.model.configuration import TierConfig
from tier_cli.model.convert import Converted, Source
from tier_cli.model.convert.assemble import assemble
from tier_cli.model.convert.bert import bert_config
from tier_cli.model.convert.files import ForeignTensors
from tier_cli.model.convert.openai_clip import vit_config, vit_name, vit_tensors
from tier_cli.model.convert.processor import open_clip_processor
from tier_cli.model.convert.tokenizer import tokenizer_folder

_BERT, _HEAD = "text_encoder.transformer.", "text_encoder.proj."
_MAX_TOKENS = 256


def convert(source: Source, family: str) -> Converted:
    """Read a checkpoint of the authors' training program, which is derived from open_clip's."""
    foreign = ForeignTensors(source.weights, str(source.path))
    vocabulary = foreign.shape(_BERT + "embeddings.word_embeddings.weight")[0]
    tokenizer = tokenizer_folder(source.tokenizer or source.path.parent, source.scratch, "bert", vocabulary)
    left_out = foreign.drop("position_ids")
    text = bert_config(foreign, _BERT)
    config = TierConfig(
        # Both published models use quick GELU in the ViT; the head of the text uses GELU.
        vit_config(foreign, "quick_gelu"),
        text,
        projection_dim=foreign.shape("visual.proj")[1],
        image_pooling="pooler",
        image_head="linear",
        text_head="two_layer",
        text_hidden_dim=foreign.shape(_HEAD + "0.weight")[0],
        text_cleaning="clip",
        max_logit_scale=None,
        max_tokens=min(_MAX_TOKENS, text["max_position_embeddings"]),
    )
    model = assemble(
        config,
        foreign,
        logit_scale=foreign.take("logit_scale"),
        # Multiplied from the right in the authors' code.
        image_projection={"linear.weight": foreign.take("visual.proj").T.contiguous()},
        text_projection={
            "linear_in.weight": foreign.take(_HEAD + "0.weight"),
            "linear_out.weight": foreign.take(_HEAD + "2.weight"),
        },
        image_tower=vit_tensors(foreign),
        image_name=vit_name,
        text_tower=foreign.section(_BERT),
        text_name=lambda name: _BERT + name,
    )
    preprocessing = open_clip_processor({}, config.image_tower["image_size"], str(source.path))
    return Converted(model, tokenizer, preprocessing, builtin("chexpert14"), left_out)
