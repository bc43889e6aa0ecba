"""open_clip's own towers: native folders and training checkpoints, whose configuration decides the"
" activation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign import MEAN, STD, OpenAIClip, QuickGELU, clip_tokenizer, randomise, vocabulary_size
from parity import TEXTS
from torch import nn

from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.convert import convert
from tier_cli.model.open_engine import open_engine
from tier_cli.model.tokens import TextTokenizer

pytestmark = pytest.mark.usefixtures("without_graphs")
PARAMS = "epochs: 32\nforce_quick_gelu: {}\nimage_mean: None\nmodel: {}\npretrained: {}\n"


@pytest.fixture
def bpe(tmp_path: Path) -> Path:
    return clip_tokenizer(tmp_path / "bpe")


def _write_config(path: Path, **changes: Any) -> Path:
    """Write open_clip_config.json; a change of ``text_context_length`` goes to text_cfg, and so on."""
    vision: dict[str, Any] = {"image_size": 64, "layers": 2, "width": 128, "patch_size": 16}
    text: dict[str, Any] = {"context_length": 77, "vocab_size": 522, "width": 64, "heads": 1, "layers": 2}
    model: dict[str, Any] = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}
    for name, value in changes.items():
        part, _, option = name.partition("_")
        {"vision": vision, "text": text, "model": model}[part][option] = value
    content = {"model_cfg": model, "preprocess_cfg": {"mean": MEAN, "std": STD}}
    path.write_text(json.dumps(content))
    return path


def _save_training(model: nn.Module, path: Path) -> Path:
    """Write a checkpoint as open_clip's training program does on several GPUs."""
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 1, "name": "run", "state_dict": state, "optimizer": {"state": {}}}, path)
    return path


def _same(folder: Path, original: OpenAIClip) -> None:
    checkpoint = open_checkpoint(folder)
    engine = open_engine(checkpoint, "torch", "cpu")
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    ids, _ = TextTokenizer.of(folder, checkpoint.config)(TEXTS)
    padded = np.zeros((len(ids), original.positional_embedding.shape[0]), np.int64)
    end = ids.max()
    for row, one in zip(padded, ids, strict=True):
        length = int((one == end).argmax()) + 1
        row[:length] = one[:length]
    with torch.no_grad():
        images, texts = original.visual(pixels)[0], original.encode_text(torch.from_numpy(padded))[0]
    np.testing.assert_allclose(engine.encode_images(pixels.numpy()), images.numpy(), atol=1e-4)
    np.testing.assert_allclose(engine.project_texts(TEXTS), texts.numpy(), atol=1e-4)


@pytest.mark.parametrize("quick", [False, True])
def test_a_native_folder_uses_the_activation_of_its_config(tmp_path: Path, bpe: Path, quick: bool) -> None:
    original = randomise(OpenAIClip(vocabulary_size(bpe), act=QuickGELU if quick else nn.GELU))
    _write_config(bpe / "open_clip_config.json", **({"model_quick_gelu": True} if quick else {}))
    torch.save(original.state_dict(), bpe / "open_clip_pytorch_model.bin")
    facts = convert(bpe, tmp_path / "made")
    assert (facts["family"], facts["scoring"]) == ("open_clip", "cosine_difference")
    _same(tmp_path / "made", original)
    preprocessing = open_checkpoint(tmp_path / "made").preprocessing
    assert (preprocessing.rendering, preprocessing.crop, preprocessing.mean) == ("voi", 64, MEAN)


def test_heads_and_context_length_are_those_of_the_config(tmp_path: Path, bpe: Path) -> None:
    original = randomise(OpenAIClip(vocabulary_size(bpe), length=32, act=nn.GELU, head=32))
    sizes = {"vision_head_width": 32, "text_heads": 2, "text_context_length": 32}
    _write_config(bpe / "open_clip_config.json", **sizes)
    torch.save(original.state_dict(), bpe / "open_clip_pytorch_model.bin")
    convert(bpe, tmp_path / "made")
    assert open_checkpoint(tmp_path / "made").max_tokens == 32
    _same(tmp_path / "made", original)


@pytest.mark.parametrize(
    ("model", "forced"), [("ViT-B-32", False), ("ViT-B-32-quickgelu", False), ("ViT-B-32", True)]
)
def test_a_training_checkpoint_is_read_with_the_options_of_its_run(
    tmp_path: Path, bpe: Path, model: str, forced: bool
) -> None:
    quick = forced or model.endswith("quickgelu")
    original = randomise(OpenAIClip(vocabulary_size(bpe), act=QuickGELU if quick else nn.GELU))
    source = _save_training(original, tmp_path / "run" / "checkpoints" / "epoch_1.pt")
    (tmp_path / "run" / "params.txt").write_text(PARAMS.format(forced, model, ""))
    assert convert(source, tmp_path / "made", tokenizer=bpe)["family"] == "open_clip"
    _same(tmp_path / "made", original)


def test_a_training_checkpoint_with_a_config_beside_it(tmp_path: Path, bpe: Path) -> None:
    original = randomise(OpenAIClip(vocabulary_size(bpe), act=nn.GELU))
    source = _save_training(original, bpe / "epoch_1.pt")
    _write_config(bpe / "open_clip_config.json")
    convert(source, tmp_path / "made")
    _same(tmp_path / "made", original)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (None, r"without its configuration: the activation.*put params\.txt.*beside the file"),
        (
            PARAMS.format(False, "ViT-B-32", "openai"),
            "depends on the release of open_clip; write open_clip_config",
        ),
        (PARAMS.format(False, "ViT-H-14", ""), "the shape of the model 'ViT-H-14' is not known"),
        (PARAMS.format(False, "ViT-B-32", "") + "force_context_length: 40\n", "context length was forced"),
    ],
)
def test_an_activation_is_never_guessed(tmp_path: Path, bpe: Path, params: str | None, message: str) -> None:
    source = _save_training(randomise(OpenAIClip(vocabulary_size(bpe))), tmp_path / "run" / "epoch_1.pt")
    if params is not None:
        (tmp_path / "run" / "params.txt").write_text(params)
    with pytest.raises(CheckpointError, match=message):
        convert(source, tmp_path / "made", tokenizer=bpe)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vision_pool_type": "avg"}, "vision_cfg pool_type is 'avg', which is not supported.*--family clip"),
        ({"vision_no_ln_pre": True}, "vision_cfg no_ln_pre is True"),
        ({"text_no_causal_mask": True}, "text_cfg no_causal_mask is True"),
        ({"text_tokenizer_kwargs": {"clean": "canonicalize"}}, "text_cfg tokenizer_kwargs"),
        ({"text_hf_tokenizer_name": "bert-base-uncased"}, "text_cfg hf_tokenizer_name"),
        ({"model_custom_text": True}, "model_cfg custom_text is True"),
        ({"text_context_length": 64}, "context_length is 64, but the weights have 77 positions"),
    ],
)
def test_options_that_change_the_model_are_refused(
    tmp_path: Path, bpe: Path, change: dict[str, Any], message: str
) -> None:
    _write_config(bpe / "open_clip_config.json", **change)
    torch.save(OpenAIClip(vocabulary_size(bpe)).state_dict(), bpe / "open_clip_pytorch_model.bin")
    with pytest.raises(CheckpointError, match=message):
        convert(bpe, tmp_path / "made")
