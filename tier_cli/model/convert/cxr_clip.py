"""Convert CXR-CLIP (You et al. 2023): ResNet-50 or Swin-T, and Bio_ClinicalBERT, in one ``.tar`` file.

Image: the mean of all patches (ResNet), or the first patch (Swin). Text: the last token, [SEP]. Both are
projected by a matrix with a bias. Score: softmax over the cosines with "No X" and "X", unscaled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tier_cli.errors import CheckpointError
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


def convert(source: Source, family: str) -> Converted:
    """Read a checkpoint of the authors' training program."""
    foreign = ForeignTensors(source.weights, str(source.path))
    settings = _settings(source)
    vocabulary = foreign.shape(_BERT + "embeddings.word_embeddings.weight")[0]
    tokenizer = tokenizer_folder(source.tokenizer or source.path.parent, source.scratch, "bert", vocabulary)
    left_out = foreign.drop("position_ids", *SWIN_INDEXES) + foreign.leave(_BERT + "pooler.")
    resnet = _RESNET + "conv1.weight" in foreign.names
    text = bert_config(foreign, _BERT)
    config = TierConfig(
        resnet_config(foreign, _RESNET) if resnet else swin_config(foreign, _SWIN, settings.side),
        text,
        projection_dim=foreign.shape("image_projection.projection.weight")[0],
        image_pooling="mean" if resnet else "first",
        image_head="affine",
        text_pooling="end",
        text_head="affine",
        end_token=token_id(tokenizer, "[SEP]"),
        max_logit_scale=None,
        scoring="softmax_pair",
        max_tokens=min(settings.tokens, text["max_position_embeddings"]),
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
    findings = chexpert_findings("cxr-clip", "No {}")
    return Converted(model, tokenizer, _pixels(resnet, settings.side), findings, left_out)


class _Settings(NamedTuple):
    """Side of the images, and the longest text, of a training run; the defaults are those of the authors."""

    side: int = 224
    tokens: int = 256


def _settings(source: Source) -> _Settings:
    """Return the settings in the file; refuse a text pooling that the tensors would not show."""
    config = source.file.config
    if not isinstance(config, Mapping):
        return _Settings()
    pooling = config.get("model", {}).get("text_encoder", {}).get("pooling", "eos")
    if pooling != "eos":
        raise CheckpointError(
            f"its text pooling is '{pooling}'",
            where=str(source.path),
            remedy="only 'eos' is supported, as published",
        )
    base, usual = config.get("base", {}), _Settings()
    return _Settings(base.get("image_size", usual.side), base.get("text_max_length", usual.tokens))


def _projection(foreign: ForeignTensors, prefix: str) -> dict[str, Tensor]:
    return {f"linear.{kind}": foreign.take(prefix + kind) for kind in ("weight", "bias")}


def _pixels(resnet: bool, side: int) -> Preprocessing:
    """Return the preprocessing of the authors' evaluation, which depends on the image tower."""
    usual = Preprocessing()
    return Preprocessing(
        # Its training data, MIMIC-CXR-JPG, are equalised.
        rendering="minmax-equalized",
        resize_short=None,
        crop=side,
        mean=usual.mean if resnet else (0.5, 0.5, 0.5),
        std=usual.std if resnet else (0.5, 0.5, 0.5),
        eight_bit=True,
    )
