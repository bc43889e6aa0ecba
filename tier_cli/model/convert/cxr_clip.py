"""Convert CXR-CLIP (You et al. 2023): ResNet-50 or Swin-T, and Bio_ClinicalBERT, in one ``.tar`` file.

Image: the mean of all patches (ResNet), or the first patch (Swin). Text: the last token, [SEP]. Both are
projected by a matrix with a bias. Score: softmax over the cosines with "No X" and "X", unscaled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.model.configuration import TierConfig
from tier_cli.model.convert import Converted, Source
from tier_cli.model.convert.assemble import assemble
from tier_cli.model.convert.bert import bert_config
from tier_cli.model.convert.files import ForeignTensors
from tier_cli.model.convert.resnet import public_name, resnet_config, resnet_tower
from tier_cli.model.convert.swin import SWIN_INDEXES, swin_config
from tier_cli.model.convert.templates import chexpert_findings
from tier_cli.model.convert.tokenizer import token_id, tokenizer_folder

if TYPE_CHECKING:
    from torch import Tensor

_RESNET, _SWIN = "image_encoder.resnet.", "image_encoder.image_encoder."
_BERT = "text_encoder.text_encoder."
_SIDE, _MAX_TOKENS = 224, 256


def convert(source: Source, family: str) -> Converted:
    """Read a checkpoint of the authors' training program."""
    foreign = ForeignTensors(source.weights, str(source.path))
    vocabulary = foreign.shape(_BERT + "embeddings.word_embeddings.weight")[0]
    tokenizer = tokenizer_folder(source.tokenizer or source.path.parent, source.scratch, "bert", vocabulary)
    left_out = foreign.drop("position_ids", *SWIN_INDEXES) + foreign.leave(_BERT + "pooler.")
    resnet = _RESNET + "conv1.weight" in foreign.names
    text = bert_config(foreign, _BERT)
    config = TierConfig(
        resnet_config(foreign, _RESNET) if resnet else swin_config(foreign, _SWIN, _SIDE),
        text,
        projection_dim=foreign.shape("image_projection.projection.weight")[0],
        image_pooling="mean" if resnet else "first",
        image_head="affine",
        text_pooling="end",
        text_head="affine",
        end_token=token_id(tokenizer, "[SEP]"),
        max_logit_scale=None,
        scoring="softmax_pair",
        max_tokens=min(_MAX_TOKENS, text["max_position_embeddings"]),
    )
    image: dict[str, Any] = (
        {
            "image_tower": resnet_tower(foreign.section(_RESNET)),
            "image_name": lambda name: _RESNET + public_name(name),
        }
        if resnet
        else {"image_tower": foreign.section(_SWIN), "image_name": lambda name: _SWIN + name}
    )
    model = assemble(
        config,
        foreign,
        logit_scale=foreign.take("logit_scale"),
        text_tower=foreign.section(_BERT),
        text_name=lambda name: _BERT + name,
        image_projection=_projection(foreign, "image_projection.projection."),
        text_projection=_projection(foreign, "text_projection.projection."),
        **image,
    )
    return Converted(model, tokenizer, _pixels(resnet), chexpert_findings("cxr-clip", "No {}"), left_out)


def _projection(foreign: ForeignTensors, prefix: str) -> dict[str, Tensor]:
    return {f"linear.{kind}": foreign.take(prefix + kind) for kind in ("weight", "bias")}


def _pixels(resnet: bool) -> Preprocessing:
    """Return the preprocessing of the authors' evaluation, which depends on the image tower."""
    usual = Preprocessing()
    return Preprocessing(
        # Its training data, MIMIC-CXR-JPG, are equalised.
        rendering="minmax-equalized",
        resize_short=None,
        crop=_SIDE,
        mean=usual.mean if resnet else (0.5, 0.5, 0.5),
        std=usual.std if resnet else (0.5, 0.5, 0.5),
        eight_bit=True,
    )
