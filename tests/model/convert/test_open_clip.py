"""BiomedCLIP, against timm's ViT and open_clip's heads in plain torch, and transformers' BERT."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign import MEAN, OPEN_CLIP_CONFIG, STD, BiomedClip, bert_tokenizer, randomise
from parity import Read, as_8_bit, our_scores, prepared, same_images, same_texts, save
from PIL import Image
from safetensors.torch import save_file
from torch.nn.functional import cosine_similarity
from transformers import BertTokenizer

from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import Checkpoint, open_checkpoint
from tier_cli.model.convert import convert


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("biomedclip")
    model = randomise(BiomedClip(bert_tokenizer(path)))
    save(model.state_dict(), path / "open_clip_pytorch_model.bin")
    (path / "open_clip_config.json").write_text(json.dumps(OPEN_CLIP_CONFIG))
    return path


@pytest.fixture(scope="module")
def original(folder: Path) -> BiomedClip:
    model = BiomedClip(len((folder / "vocab.txt").read_text().split("\n")) - 1)
    model.load_state_dict(torch.load(folder / "open_clip_pytorch_model.bin", weights_only=True))
    return model.eval()


@pytest.fixture(scope="module")
def biomedclip(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    made = tmp_path_factory.mktemp("made") / "biomedclip"
    assert convert(folder, made)["family"] == "open_clip"
    return open_checkpoint(made)


def _pixels(image: Image.Image) -> torch.Tensor:
    """(3, 64, 64): open_clip's evaluation transform, written out."""
    width, height = image.size
    short = min(width, height)
    image = image.resize((int(64 * width / short), int(64 * height / short)), Image.Resampling.BICUBIC)
    left, top = (round((side - 64) / 2.0) for side in image.size)
    x = torch.from_numpy(np.asarray(image.crop((left, top, left + 64, top + 64)), np.float32) / 255)
    return (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def _ids(folder: Path, texts: Sequence[str]) -> torch.Tensor:
    tokenizer = BertTokenizer(str(folder / "vocab.txt"))
    cut = {"padding": "max_length", "truncation": True, "max_length": 48}
    ids: torch.Tensor = tokenizer(list(texts), return_tensors="pt", **cut)["input_ids"]
    return ids


def test_pixels_are_open_clips(biomedclip: Checkpoint, radiographs: Read) -> None:
    images = radiographs("voi")
    expected = np.stack([_pixels(as_8_bit(image)) for image in images])
    np.testing.assert_allclose(prepared(biomedclip, images), expected, atol=1e-5)


def test_image_embeddings_match_the_original(
    biomedclip: Checkpoint, original: BiomedClip, radiographs: Read
) -> None:
    images = radiographs("voi")
    pixels = torch.stack([_pixels(as_8_bit(image)) for image in images])
    with torch.no_grad():
        same_images(biomedclip, prepared(biomedclip, images), *original.encode_image(pixels))


def test_texts_and_scores_match_the_original(
    biomedclip: Checkpoint, original: BiomedClip, folder: Path, radiographs: Read
) -> None:
    with torch.no_grad():
        same_texts(biomedclip, lambda texts: original.encode_text(_ids(folder, texts)))
        pixels = prepared(biomedclip, radiographs("voi"))
        pooled = original.encode_image(torch.from_numpy(pixels))[0]
        finding = biomedclip.findings.findings[2]
        sides = []
        for prompts in (finding.positive, finding.negative):
            unit = torch.nn.functional.normalize(original.encode_text(_ids(folder, prompts))[0], dim=-1)
            sides.append(cosine_similarity(pooled, unit.mean(0)[None]))
    for scores in our_scores(biomedclip, pixels):
        np.testing.assert_allclose(scores[:, 2], (sides[0] - sides[1]).numpy(), atol=1e-4)


def _copy(folder: Path, to: Path, **text_cfg: Any) -> Path:
    (to / "vocab.txt").write_bytes((folder / "vocab.txt").read_bytes())
    model_cfg = {
        **OPEN_CLIP_CONFIG["model_cfg"],
        "text_cfg": {**OPEN_CLIP_CONFIG["model_cfg"]["text_cfg"], **text_cfg},
    }
    (to / "open_clip_config.json").write_text(json.dumps({**OPEN_CLIP_CONFIG, "model_cfg": model_cfg}))
    return to


@pytest.mark.usefixtures("without_graphs")
def test_safetensors_are_read_too(
    folder: Path, original: BiomedClip, biomedclip: Checkpoint, tmp_path: Path
) -> None:
    _copy(folder, tmp_path)
    state = {name: tensor.contiguous() for name, tensor in original.state_dict().items()}
    save_file(state, tmp_path / "open_clip_model.safetensors")
    convert(tmp_path, tmp_path / "made")
    assert open_checkpoint(tmp_path / "made").hashes["weights"] == biomedclip.hashes["weights"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooler_type": "mean_pooler"}, "pooler_type is 'mean_pooler'"),
        ({"hf_pooler_type": "mean_pooler"}, "pooler_type is 'mean_pooler'"),
        ({"proj": "linear"}, "proj_type is 'linear'"),
    ],
)
def test_other_towers_are_refused(folder: Path, tmp_path: Path, change: dict[str, str], message: str) -> None:
    save_file({"logit_scale": torch.ones(1)}, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        convert(_copy(folder, tmp_path, **change), tmp_path / "made")


def test_a_folder_without_weights_says_what_it_looked_for(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="looked for open_clip_pytorch_model, open_clip_model"):
        convert(_copy(folder, tmp_path), tmp_path / "made")
