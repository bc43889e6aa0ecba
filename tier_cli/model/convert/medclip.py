"""Convert MedCLIP (Wang et al. 2022): Swin-T or ResNet-50, and Bio_ClinicalBERT, in ``pytorch_model.bin``.

Image: the mean of all patches, projected. Text: the mean over tokens and over the layers 1, 2 and last,
projected. Score: the cosine with the positive prompts; the authors compare classes, without negations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tier_cli.findings.load import builtin
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.model.configuration import TierConfig
from tier_cli.model.convert import Converted, Source
from tier_cli.model.convert.assemble import assemble
from tier_cli.model.convert.bert import bert_config
from tier_cli.model.convert.files import ForeignTensors
from tier_cli.model.convert.resnet import public_name, resnet_config, resnet_tower
from tier_cli.model.convert.swin import SWIN_INDEXES, swin_config
from tier_cli.model.convert.tokenizer import tokenizer_folder

if TYPE_CHECKING:
    from collections.abc import Callable

_IMAGE, _BERT = "vision_model.model.", "text_model.model."
_SWIN_HEAD, _RESNET_HEAD = "vision_model.projection_head.weight", "vision_model.model.fc.weight"
_TEXT_HEAD = "text_model.projection_head.weight"
_SIDE, _MAX_TOKENS = 224, 77
# Grey levels in [0, 1] of the training images.
_MEAN, _STD = 0.5862785803043838, 0.27950088968644304


def convert(source: Source, family: str) -> Converted:
    """Read a state dict of `MedCLIPModel`."""
    foreign = ForeignTensors(source.weights, str(source.path))
    vocabulary = foreign.shape(_BERT + "embeddings.word_embeddings.weight")[0]
    tokenizer = tokenizer_folder(source.tokenizer or source.path.parent, source.scratch, "bert", vocabulary)
    left_out = foreign.drop("position_ids", *SWIN_INDEXES) + foreign.leave(_BERT + "pooler.")
    resnet = _RESNET_HEAD in foreign.names
    image_head = foreign.take(_RESNET_HEAD if resnet else _SWIN_HEAD)
    text = bert_config(foreign, _BERT)
    config = TierConfig(
        resnet_config(foreign, _IMAGE) if resnet else swin_config(foreign, _IMAGE, _SIDE),
        text,
        projection_dim=image_head.shape[0],
        image_head="linear",
        text_pooling="mean",
        text_head="linear",
        text_layers=[1, 2, -1],
        scoring="cosine",
        max_tokens=min(_MAX_TOKENS, text["max_position_embeddings"]),
    )
    tensors = foreign.section(_IMAGE)
    named: Callable[[str], str] = public_name if resnet else str
    parts: dict[str, Any] = {
        "image_tower": resnet_tower(tensors) if resnet else tensors,
        "image_name": lambda name: _IMAGE + named(name),
    }
    model = assemble(
        config,
        foreign,
        logit_scale=foreign.take("logit_scale"),
        image_projection={"linear.weight": image_head},
        text_projection={"linear.weight": foreign.take(_TEXT_HEAD)},
        text_tower=foreign.section(_BERT),
        text_name=lambda name: _BERT + name,
        **parts,
    )
    preprocessing = Preprocessing(
        # Its training data, MIMIC-CXR-JPG and CheXpert, are equalised.
        rendering="minmax-equalized",
        resize_short=None,
        crop=_SIDE,
        fit="pad_first",
        interpolation="bicubic",
        mean=(_MEAN, _MEAN, _MEAN),
        std=(_STD, _STD, _STD),
        eight_bit=True,
    )
    return Converted(model, tokenizer, preprocessing, builtin("chexpert14"), left_out)
