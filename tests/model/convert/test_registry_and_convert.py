"""The registry's preprocessing of each model is that of its conversion, at the published sizes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from foreign import (
    OPEN_CLIP_CONFIG,
    BiomedClip,
    OpenAIClip,
    bert_tokenizer,
    clip_tokenizer,
    randomise,
    siglip_tokenizer,
    vocabulary_size,
)
from foreign_biovil import ImageModel, random_weights, save_text_tower
from foreign_medical import save_cxr_clip, save_medclip, save_unimed_clip
from parity import save
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.convert import convert
from tier_cli.model.convert.detect import IMAGE_FILES
from tier_cli.model.registry import PublicModel, public_models

SMALL = {"num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}


def _biovil(folder: Path, family: str) -> Path:
    name = next(name for name, of in IMAGE_FILES.items() if of == family)
    save(random_weights(ImageModel(temporal=family == "biovil-t")).state_dict(), folder / name)
    save_text_tower(folder)
    return folder


def _biomedclip(folder: Path, family: str) -> Path:
    model = randomise(BiomedClip(bert_tokenizer(folder), size=224, patch=112))
    save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_config.json").write_text(json.dumps(OPEN_CLIP_CONFIG))
    return folder


def _clip(folder: Path, family: str) -> Path:
    size = vocabulary_size(clip_tokenizer(folder))
    text = {**SMALL, "hidden_size": 8, "vocab_size": size, "bos_token_id": size - 2, "eos_token_id": size - 1}
    vision = {**SMALL, "hidden_size": 8, "image_size": 224, "patch_size": 112}
    config = CLIPConfig(text_config={**text, "pad_token_id": size - 1}, vision_config=vision)
    CLIPModel(config).save_pretrained(folder)
    # As published, which is its default.
    CLIPImageProcessorPil().save_pretrained(folder)
    return folder


def _siglip(folder: Path, family: str) -> Path:
    side = 448 if family == "medsiglip" else 224
    special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    text = {**SMALL, **special, "hidden_size": 8, "vocab_size": siglip_tokenizer(folder)}
    vision = {**SMALL, "hidden_size": 8, "image_size": side, "patch_size": 112}
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": side, "width": side}).save_pretrained(folder)
    return folder


def _chexzero(folder: Path, family: str) -> Path:
    model = randomise(OpenAIClip(vocabulary_size(clip_tokenizer(folder)), size=224, patch=112))
    return save(model.state_dict(), folder / "best.pt")


def _cxr_clip(folder: Path, family: str) -> Path:
    save_cxr_clip(folder, bert_tokenizer(folder), swin_tower=True)
    return folder / "model-best.tar"


def _medclip(folder: Path, family: str) -> Path:
    save_medclip(folder, bert_tokenizer(folder), swin_tower=True)
    return folder / "pytorch_model.bin"


def _unimed_clip(folder: Path, family: str) -> Path:
    save_unimed_clip(folder, bert_tokenizer(folder), size=224, patch=112)
    return folder / "unimed.pt"


MADE: dict[str, Callable[[Path, str], Path]] = {
    "biovil": _biovil,
    "biovil-t": _biovil,
    "open_clip": _biomedclip,
    "clip": _clip,
    "siglip": _siglip,
    "medsiglip": _siglip,
    "chexzero": _chexzero,
    "cxr-clip": _cxr_clip,
    "medclip": _medclip,
    "unimed-clip": _unimed_clip,
}


def _in_words(made: Preprocessing) -> str:
    if made.fit == "pad_first":
        return f"padded to a square, resized to {made.crop}"
    if made.fit == "stretch":
        return f"stretched to {made.crop}"
    if made.fit == "pad" and made.square is None:
        return f"padded to a square of {made.crop}"
    if made.fit == "pad":
        return f"padded to {made.square}, own mean and std, resampled to {made.crop}"
    return f"short side {made.resize_short or made.crop}, centre crop {made.crop}"


@pytest.mark.usefixtures("without_graphs")
@pytest.mark.parametrize("model", public_models().values(), ids=lambda model: model.name)
def test_the_registry_agrees_with_conversion(model: PublicModel, tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = tmp_path / "source"
    folder.mkdir()
    source = MADE[model.family](folder, model.family)
    # Told by the files, as a person converts it: another family would mean other pixels.
    # CheXzero's published shapes are too large for a test.
    family = model.family if model.family == "chexzero" else None
    facts = convert(source, tmp_path / "made", family, None if source == folder else folder)
    assert (facts["family"], facts["rendering"]) == (model.family, model.rendering)
    if model.pixels != "as its preprocessor_config.json specifies":
        assert _in_words(open_checkpoint(tmp_path / "made").preprocessing) == model.pixels
