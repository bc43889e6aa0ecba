"""Convert BioViL (Boecking et al. 2022), BioViL-T (Bannur et al. 2023) and the TIER authors' checkpoints.

All have a ResNet-50 with a projection of every patch, and CXR-BERT. BioViL and BioViL-T have a file for the
image model and a folder for the text model; a TIER checkpoint is one file with both.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tier_cli.errors import CheckpointError
from tier_cli.findings.load import builtin
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.model.configuration import TierConfig
from tier_cli.model.convert import Converted, Source
from tier_cli.model.convert.assemble import assemble
from tier_cli.model.convert.bert import bert_config, cxr_bert_head, cxr_bert_left_out
from tier_cli.model.convert.detect import IMAGE_FILES
from tier_cli.model.convert.files import ForeignTensors, load_folder, load_weights
from tier_cli.model.convert.resnet import projector, public_name, resnet_config, resnet_tower
from tier_cli.model.convert.tokenizer import tokenizer_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_RESNET, _PREVIOUS = "encoder.encoder.", "encoder.missing_previous_emb"
# From a short side of 512 pixels; the grids are 15x15 and 14x14.
_CROP = {"biovil": 480, "biovil-t": 448}
# Maximum text length of the TIER authors, special tokens included.
_TIER_TOKENS = 128


def convert(source: Source, family: str) -> Converted:
    """Convert a checkpoint of one of the three families."""
    if family == "tier-authors":
        return _tier(source)
    image, text = _parts(source, family)
    where = f"{image} with {text}"
    tensors = load_weights(image)
    _check_generation(family, _PREVIOUS in tensors, image)
    texts = load_folder(text, "model", "pytorch_model")
    if both := sorted(set(tensors) & set(texts)):
        raise CheckpointError(
            f"both files contain {', '.join(both[:5])}",
            where=where,
            remedy="name the published files of image and text model",
        )
    foreign = ForeignTensors({**tensors, **texts}, where)
    model, left_out = _model(
        foreign,
        image="",
        text="",
        max_tokens=foreign.shape("bert.embeddings.position_embeddings.weight")[0],
        strip="!?.",
        prompt_average="projection",
    )
    tokenizer = tokenizer_folder(
        source.tokenizer or text, source.scratch, "bert", model.config.text_tower["vocab_size"]
    )
    preprocessing = Preprocessing(
        rendering="minmax",
        resize_short=512,
        crop=_CROP[family],
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        eight_bit=True,
    )
    notes = {"logit_scale": "not in the files: the usual start of training"}
    return Converted(model, tokenizer, preprocessing, builtin("chexpert14"), left_out, notes)


def _check_generation(family: str, previous: bool, image: Path) -> None:
    """Refuse the wrong of the two families: their preprocessing differs, so scores would be wrong."""
    own = "biovil-t" if previous else "biovil"
    if family != own:
        raise CheckpointError(
            f"the file belongs to the family {own}",
            where=str(image),
            remedy=f"convert it with --family {own}",
        )


def _parts(source: Source, family: str) -> tuple[Path, Path]:
    """Return the file of the image model and the folder of the text model."""
    if not source.path.is_dir():
        if source.text_tower is None:
            raise CheckpointError(
                "the file contains only the image model",
                where=str(source.path),
                remedy="name the folder of its text model, a CXR-BERT, with --text-tower",
            )
        return source.path, source.text_tower
    names = [name for name, of in IMAGE_FILES.items() if of == family]
    found = [source.path / name for name in names if (source.path / name).is_file()]
    if not found:
        raise CheckpointError(
            f"no {names[0]} in this folder",
            where=str(source.path),
            remedy="name the file of the image model, and the folder of the text model with --text-tower",
        )
    return found[0], source.text_tower or source.path


def _tier(source: Source) -> Converted:
    foreign = ForeignTensors(source.weights, str(source.path))
    _drop_second_head(foreign)
    vocabulary = foreign.shape("transformer.bert.embeddings.word_embeddings.weight")[0]
    tokenizer = tokenizer_folder(source.tokenizer or source.path.parent, source.scratch, "bert", vocabulary)
    # Padding is masked, so the vector of a prompt does not depend on the other prompts of a batch.
    model, left_out = _model(
        foreign,
        image="cnn.",
        text="transformer.",
        logit_scale=foreign.take("logit_scale"),
        max_logit_scale=None,
        max_tokens=min(
            _TIER_TOKENS, foreign.shape("transformer.bert.embeddings.position_embeddings.weight")[0]
        ),
    )
    # Its training data, MIMIC-CXR-JPG, are equalised and have 8 bits; the rest is the default.
    preprocessing = Preprocessing(rendering="minmax-equalized", eight_bit=True)
    return Converted(model, tokenizer, preprocessing, builtin("chexpert14"), left_out)


def _drop_second_head(foreign: ForeignTensors) -> None:
    """Drop the second copy of the text model's head; refuse copies that differ."""
    for name in [name for name in foreign.names if name.startswith("cls_projection_head.")]:
        second, inside = foreign.take(name), f"transformer.{name}"
        if not torch.equal(second, foreign.peek(inside)):
            raise CheckpointError(
                f"'{name}' and '{inside}' are different",
                where=foreign.where,
                remedy="save the checkpoint again with one text head",
            )


def _model(
    foreign: ForeignTensors,
    *,
    image: str,
    text: str,
    logit_scale: Tensor | None = None,
    **config: Any,
) -> tuple[Any, tuple[str, ...]]:
    """Return the model and the names of unused tensors; `image` and `text` are the prefixes of its parts."""
    resnet = image + _RESNET
    left_out = foreign.leave(resnet + "fc.") + cxr_bert_left_out(foreign, text)
    head = projector(foreign, image + "projector.")
    if image + _PREVIOUS in foreign.names:
        left_out += foreign.leave(image + "encoder.vit_pooler.")
        head = _without_previous(foreign, image, head)
    made = TierConfig(
        resnet_config(foreign, resnet),
        bert_config(foreign, text + "bert."),
        projection_dim=foreign.shape(text + "cls_projection_head.dense_to_output.weight")[0],
        image_hidden_dim=head["conv_in.weight"].shape[0],
        text_hidden_dim=foreign.shape(text + "cls_projection_head.dense_to_hidden.weight")[0],
        **config,
    )
    numbers = {} if logit_scale is None else {"logit_scale": logit_scale}
    model = assemble(
        made,
        foreign,
        image_projection=head,
        text_projection=cxr_bert_head(foreign, text),
        image_tower=resnet_tower(foreign.section(resnet)),
        image_name=lambda name: resnet + public_name(name),
        text_tower=foreign.section(text + "bert."),
        text_name=lambda name: f"{text}bert.{name}",
        **numbers,
    )
    return model, left_out


def _without_previous(foreign: ForeignTensors, prefix: str, head: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold BioViL-T's projection for a single image into a projection of the backbone's features.

    Each patch x becomes [A x, m], where m is the learned substitute for a previous image. The projection
    starts with W [A x, m] = (W1 A) x + W2 m, then subtracts a running mean: both W2 m and the mean are
    constant.
    """
    to_vit = foreign.take(prefix + "encoder.backbone_to_vit.weight").double().flatten(1)
    missing = foreign.take(prefix + _PREVIOUS).double().flatten()
    weight = head["conv_in.weight"].double().flatten(1)
    own, previous = len(to_vit), len(missing)
    if weight.shape[1] != own + previous:
        raise CheckpointError(
            f"'{prefix}projector.model.0.weight' takes {weight.shape[1]} features, not {own} and {previous}",
            where=foreign.where,
            remedy="download the file again",
        )
    matrix, constant = weight[:, :own] @ to_vit, weight[:, own:] @ missing
    return {
        **head,
        "conv_in.weight": matrix.float()[:, :, None, None],
        "norm.running_mean": (head["norm.running_mean"].double() - constant).float(),
    }
