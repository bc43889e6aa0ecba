"""CheXzero and OpenAI's CLIP, against the published architecture written in plain torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import OpenAIClip, clip_tokenizer, randomise, vocabulary_size
from parity import Read, as_8_bit, our_scores, prepared, same_images, same_texts, save
from PIL import Image
from torch.nn.functional import cosine_similarity, interpolate
from transformers import CLIPTokenizer

from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import Checkpoint, open_checkpoint
from tier_cli.model.convert import convert
from tier_cli.model.verify import verify


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_tokenizer(tmp_path_factory.mktemp("bpe"))


@pytest.fixture(scope="module")
def original(bpe: Path) -> OpenAIClip:
    model: OpenAIClip = randomise(OpenAIClip(vocabulary_size(bpe)))
    return model


@pytest.fixture(scope="module")
def chexzero(original: OpenAIClip, bpe: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("chexzero")
    source = save(original.state_dict(), folder / "best_64_0.0001_original_35000.pt")
    facts = convert(source, folder / "made", "chexzero", bpe)
    assert (facts["family"], facts["stored_as"], facts["left_out"]) == ("chexzero", "float16", [])
    return open_checkpoint(folder / "made")


def _ids(bpe: Path, texts: Sequence[str]) -> torch.Tensor:
    """As OpenAI's tokenizer: start, pieces, end, then zeros up to 77."""
    tokenizer = CLIPTokenizer(str(bpe / "vocab.json"), str(bpe / "merges.txt"))
    ids = torch.zeros(len(texts), 77, dtype=torch.long)
    for row, text in enumerate(texts):
        pieces = tokenizer(text)["input_ids"]
        ids[row, : len(pieces)] = torch.tensor(pieces)
    return ids


def _chexzero_pixels(image: Image.Image, size: int) -> torch.Tensor:
    """(3, size, size): CheXzero's own steps."""
    ratio = 320.0 / max(image.size)
    new = int(image.width * ratio), int(image.height * ratio)
    square = Image.new("L", (320, 320))
    square.paste(image.resize(new, Image.Resampling.LANCZOS), ((320 - new[0]) // 2, (320 - new[1]) // 2))
    x = torch.from_numpy(np.asarray(square, np.float32)).expand(1, 3, -1, -1)
    x = (x - 101.48761) / 83.43944
    return interpolate(x, (size, size), mode="bicubic", align_corners=False, antialias=False)[0]


def test_chexzero_is_verified_and_says_how_it_scores(chexzero: Checkpoint) -> None:
    assert verify(chexzero.path) == []
    assert chexzero.scoring == "softmax_pair"
    assert chexzero.preprocessing.rendering == "minmax-equalized"
    effusion = chexzero.findings.match("Pleural Effusion")
    assert effusion is not None
    assert (effusion.positive, effusion.negative) == (("Pleural effusion",), ("no Pleural effusion",))
    assert chexzero.findings.match("No Finding") is None
    # CheXpert's own names, whose case the tokenizer ignores.
    prompts = [finding.positive[0].lower() for finding in chexzero.findings.findings]
    assert prompts == [
        "enlarged cardiomediastinum",
        "cardiomegaly",
        "lung opacity",
        "lung lesion",
        "edema",
        "consolidation",
        "pneumonia",
        "atelectasis",
        "pneumothorax",
        "pleural effusion",
        "pleural other",
        "fracture",
        "support devices",
    ]
    assert chexzero.config["text_cleaning"] == "clip"


def test_chexzero_pixels_are_its_own(chexzero: Checkpoint, radiographs: Read) -> None:
    images = radiographs("minmax-equalized")
    expected = np.stack([_chexzero_pixels(as_8_bit(image), 64) for image in images])
    np.testing.assert_allclose(prepared(chexzero, images), expected, atol=1e-5)


def test_chexzero_embeddings_and_scores_match_the_original(
    chexzero: Checkpoint, original: OpenAIClip, bpe: Path, radiographs: Read
) -> None:
    images = radiographs("minmax-equalized")
    pixels = torch.stack([_chexzero_pixels(as_8_bit(image), 64) for image in images])
    with torch.no_grad():
        pooled, patches = original.visual(pixels)
        same_images(chexzero, prepared(chexzero, images), pooled, patches)
        expected = np.empty((len(images), len(chexzero.findings.findings)))
        for column, finding in enumerate(chexzero.findings.findings):
            pair = original.encode_text(_ids(bpe, [finding.label, f"no {finding.label}"]))[0]
            cosines = cosine_similarity(pooled[:, None], pair[None], dim=-1)
            expected[:, column] = cosines.softmax(dim=-1)[:, 0]
    for scores in our_scores(chexzero, prepared(chexzero, images)):
        np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_chexzero_texts_match_the_original(chexzero: Checkpoint, original: OpenAIClip, bpe: Path) -> None:
    with torch.no_grad():
        same_texts(chexzero, lambda texts: original.encode_text(_ids(bpe, texts)))


@pytest.mark.usefixtures("without_graphs")
def test_a_model_of_320_pixels_is_not_resampled(bpe: Path, tmp_path: Path, radiographs: Read) -> None:
    original = randomise(OpenAIClip(vocabulary_size(bpe), size=320, patch=64))
    convert(save(original.state_dict(), tmp_path / "a.pt"), tmp_path / "made", "chexzero", bpe)
    checkpoint, images = open_checkpoint(tmp_path / "made"), radiographs("minmax-equalized")
    expected = torch.stack([_chexzero_pixels(as_8_bit(image), 320) for image in images])
    np.testing.assert_allclose(prepared(checkpoint, images), expected, atol=1e-5)
    with torch.no_grad():
        same_images(checkpoint, prepared(checkpoint, images), *original.visual(expected))


@pytest.mark.usefixtures("without_graphs")
def test_openai_clip_has_its_own_pixels_and_scoring(original: OpenAIClip, bpe: Path, tmp_path: Path) -> None:
    source = save(original.state_dict(), tmp_path / "a.pt")
    convert(source, tmp_path / "made", family="openai-clip", tokenizer=bpe)
    checkpoint = open_checkpoint(tmp_path / "made")
    assert (checkpoint.scoring, checkpoint.preprocessing.rendering) == ("cosine_difference", "voi")
    assert checkpoint.preprocessing.interpolation == "bicubic"


def test_weights_beyond_fp16_are_stored_whole(original: OpenAIClip, bpe: Path, tmp_path: Path) -> None:
    state = {name: tensor + 1e-5 for name, tensor in original.state_dict().items()}
    facts = convert(save(state, tmp_path / "a.pt"), tmp_path / "made", "chexzero", bpe)
    assert facts["stored_as"] == "float32"
    finer = OpenAIClip(vocabulary_size(bpe)).eval()
    finer.load_state_dict(state)
    with torch.no_grad():
        pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        same_images(open_checkpoint(tmp_path / "made"), pixels.numpy(), *finer.visual(pixels))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("unused", "unused visual.attnpool.c_proj.weight"),
        # By the names of the file: nobody finds transformers' names in it.
        ("visual.transformer.resblocks.1.mlp.c_proj.weight", "fit: missing {};"),
        ("transformer.resblocks.1.ln_1.weight", "fit: missing {};"),
        ("visual.transformer.resblocks.1.attn.in_proj_weight", "fit: missing {};"),
        ("visual.ln_pre.bias", "fit: missing {};"),
        ("ln_final.weight", "fit: missing {};"),
        ("shape", "of a different shape transformer.resblocks.0.ln_1.bias;"),
    ],
)
def test_every_tensor_is_accounted_for(
    original: OpenAIClip, bpe: Path, tmp_path: Path, change: str, message: str
) -> None:
    state = dict(original.state_dict())
    if change == "unused":
        state["visual.attnpool.c_proj.weight"] = torch.zeros(2)
    elif change == "shape":
        state["transformer.resblocks.0.ln_1.bias"] = torch.zeros(5)
    else:
        del state[change]
    with pytest.raises(CheckpointError, match=message.format(change)):
        convert(save(state, tmp_path / "a.pt"), tmp_path / "made", "chexzero", bpe)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt"]


def test_the_tokenizer_must_be_named(tmp_path: Path) -> None:
    """Before the file is read: building the towers takes long."""
    (tmp_path / "a.pt").write_bytes(b"not even read")
    for family in ("chexzero", "openai-clip", "tier-authors"):
        with pytest.raises(
            CheckpointError, match=rf"a {family} file contains no tokenizer.*with --tokenizer"
        ):
            convert(tmp_path / "a.pt", tmp_path / "made", family)
    with pytest.raises(CheckpointError, match=r"--tokenizer .*none: no such folder"):
        convert(tmp_path / "a.pt", tmp_path / "made", "chexzero", tmp_path / "none")


def test_the_tokenizer_must_fit(bpe: Path, tmp_path: Path) -> None:
    smaller = randomise(OpenAIClip(vocabulary_size(bpe) - 3))
    with pytest.raises(CheckpointError, match="its largest id is"):
        convert(save(smaller.state_dict(), tmp_path / "a.pt"), tmp_path / "made", "chexzero", bpe)
