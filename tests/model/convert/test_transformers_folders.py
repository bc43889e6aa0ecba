"""CLIP and SigLIP folders of transformers, against transformers' own loading of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign import clip_tokenizer, randomise, siglip_tokenizer, vocabulary_size
from parity import Read, as_8_bit, our_scores, prepared, same_images, same_texts
from tokenizers import Tokenizer, normalizers
from torch.nn.functional import cosine_similarity, interpolate, layer_norm
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import Checkpoint, open_checkpoint
from tier_cli.model.configuration import tower_config
from tier_cli.model.convert import convert
from tier_cli.model.open_engine import open_engine
from tier_cli.model.tokens import TextTokenizer

CUT = {"truncation": True, "max_length": 40, "return_tensors": "pt"}
SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = clip_tokenizer(tmp_path_factory.mktemp("clip"))
    size = vocabulary_size(folder)
    text = {**SMALL, "hidden_size": 16, "vocab_size": size, "max_position_embeddings": 40}
    text |= {"bos_token_id": size - 2, "eos_token_id": size - 1, "pad_token_id": size - 1}
    vision = {**SMALL, "hidden_size": 24, "image_size": 48, "patch_size": 16}
    model = randomise(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=20)))
    model.save_pretrained(folder)
    sizes = {"size": {"shortest_edge": 51}, "crop_size": {"height": 48, "width": 48}}
    CLIPImageProcessorPil(**sizes).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(clip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    made = tmp_path_factory.mktemp("made") / "clip"
    assert convert(clip_folder, made)["family"] == "clip"
    return open_checkpoint(made)


def test_clip_pixels_are_the_processors(clip: Checkpoint, clip_folder: Path, radiographs: Read) -> None:
    images = radiographs("voi")
    processor = CLIPImageProcessorPil.from_pretrained(clip_folder)
    expected = [processor(as_8_bit(image), return_tensors="np")["pixel_values"][0] for image in images]
    np.testing.assert_allclose(prepared(clip, images), np.stack(expected), atol=1e-5)


def test_clip_embeds_as_transformers(clip: Checkpoint, clip_folder: Path, radiographs: Read) -> None:
    model = CLIPModel.from_pretrained(clip_folder).eval()
    pixels = prepared(clip, radiographs("voi"))
    with torch.no_grad():
        seen = model.vision_model(torch.from_numpy(pixels))
        pooled = model.visual_projection(seen.pooler_output)
        norm = model.vision_model.post_layernorm
        states = layer_norm(seen.last_hidden_state[:, 1:], (24,), norm.weight, norm.bias, norm.eps)
        same_images(clip, pixels, pooled, model.visual_projection(states))


def test_clip_reads_and_scores_as_transformers(
    clip: Checkpoint, clip_folder: Path, radiographs: Read
) -> None:
    model = CLIPModel.from_pretrained(clip_folder).eval()
    tokenizer = CLIPTokenizer.from_pretrained(clip_folder)

    def encode(texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = tokenizer(list(texts), padding="max_length", **CUT)
        seen = model.text_model(**inputs)
        return model.text_projection(seen.pooler_output), model.text_projection(seen.last_hidden_state)

    with torch.no_grad():
        same_texts(clip, encode)
        pixels = prepared(clip, radiographs("voi"))
        pooled = model.get_image_features(torch.from_numpy(pixels)).pooler_output
        finding = clip.findings.findings[1]
        sides = []
        for prompts in (finding.positive, finding.negative):
            unit = torch.nn.functional.normalize(encode(prompts)[0], dim=-1)
            sides.append(cosine_similarity(pooled, unit.mean(0)[None]))
    for scores in our_scores(clip, pixels):
        np.testing.assert_allclose(scores[:, 1], (sides[0] - sides[1]).numpy(), atol=1e-4)


@pytest.mark.usefixtures("without_graphs")
def test_a_clip_folder_of_an_early_release(clip: Checkpoint, clip_folder: Path, tmp_path: Path) -> None:
    # Its weights in a pickle with index buffers, its configuration with the wrong end token.
    from safetensors.torch import load_file

    state = load_file(clip_folder / "model.safetensors")
    for part, length in (("text", 40), ("vision", 10)):
        state[f"{part}_model.embeddings.position_ids"] = torch.arange(length)[None]
    torch.save(state, tmp_path / "pytorch_model.bin")
    for name in ("vocab.json", "merges.txt", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((clip_folder / name).read_bytes())
    said = json.loads((clip_folder / "config.json").read_text())
    said["text_config"]["eos_token_id"] = 2
    (tmp_path / "config.json").write_text(json.dumps(said))
    facts = convert(tmp_path, tmp_path / "made")
    assert facts["left_out"] == [f"{part}_model.embeddings.position_ids" for part in ("text", "vision")]
    old = open_checkpoint(tmp_path / "made")
    pixels = np.random.default_rng(0).normal(size=(1, 3, 48, 48)).astype(np.float32)
    np.testing.assert_array_equal(our_scores(old, pixels)[-1], our_scores(clip, pixels)[-1])


@pytest.mark.usefixtures("without_graphs")
def test_a_clip_folder_with_open_clip_files(clip: Checkpoint, clip_folder: Path, tmp_path: Path) -> None:
    # As LAION publishes its CLIPs: both programs' weights and configurations in one folder.
    for file in clip_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    vision = {"image_size": 48, "layers": 2, "width": 24, "patch_size": 16}
    said = {"model_cfg": {"embed_dim": 20, "vision_cfg": vision, "text_cfg": {"context_length": 40}}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(said))
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"not looked at")
    assert convert(tmp_path, tmp_path / "made")["family"] == "clip"
    assert open_checkpoint(tmp_path / "made").hashes == clip.hashes
    # Without transformers' weights it is open_clip's, whose refusal says what to do where they are elsewhere.
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"open_clip_pytorch_model\.bin: not a plain weight file"):
        convert(tmp_path, tmp_path / "again")


@pytest.mark.usefixtures("without_graphs")
def test_tensors_that_are_missing_are_named_as_in_the_file(clip_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in clip_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    name = "text_model.encoder.layers.1.mlp.fc1.bias"
    state = load_file(clip_folder / "model.safetensors")
    del state[name]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"do not fit: missing {name};"):
        convert(tmp_path, tmp_path / "made")


def test_a_tokenizer_with_another_end_token_is_refused(clip_folder: Path, tmp_path: Path) -> None:
    for file in clip_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    said = json.loads((clip_folder / "config.json").read_text())
    said["text_config"]["eos_token_id"] -= 1
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match=r"texts end with the id \d+, but the text tower expects \d+"):
        convert(tmp_path, tmp_path / "made")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"do_rescale": False}, "do_resize or do_rescale is not true"),
        ({"crop_size": 224}, "makes images of 224 pixels, but the model takes 48"),
        ({"resample": 0}, "resample is 0"),
        ({"rescale_factor": 1.0}, "rescale_factor is 1.0"),
    ],
)
def test_unsupported_processors_are_refused(
    clip_folder: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    from tier_cli.model.convert.processor import transformers_processor

    said = json.loads((clip_folder / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**said, **change}))
    with pytest.raises(CheckpointError, match=message):
        transformers_processor(tmp_path, 48)


def test_processors_of_other_releases_are_read_alike(clip_folder: Path, tmp_path: Path) -> None:
    from tier_cli.model.convert.processor import transformers_processor

    said = json.loads((clip_folder / "preprocessor_config.json").read_text())
    expected = transformers_processor(clip_folder, 48)
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": said}))
    assert transformers_processor(tmp_path, 48) == expected
    earlier = {**said, "size": 51, "crop_size": 48}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(earlier))
    assert transformers_processor(tmp_path, 48) == expected
    assert (expected.resize_short, expected.crop, expected.interpolation) == (51, 48, "bicubic")


@pytest.fixture(scope="module")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("siglip")
    size = siglip_tokenizer(folder)
    text = {**SMALL, "hidden_size": 24, "vocab_size": size, "max_position_embeddings": 64}
    vision = {**SMALL, "hidden_size": 24, "image_size": 48, "patch_size": 16}
    special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    model = randomise(SiglipModel(SiglipConfig(text_config={**text, **special}, vision_config=vision)))
    with torch.no_grad():
        model.logit_scale.fill_(2.0)
        model.logit_bias.fill_(-3.0)
    model.save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 48, "width": 48}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def siglip(siglip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    made = tmp_path_factory.mktemp("made") / "siglip"
    assert convert(siglip_folder, made)["family"] == "siglip"
    return open_checkpoint(made)


def _siglip_texts(folder: Path, texts: Sequence[str]) -> torch.Tensor:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(64)
    tokenizer.enable_padding(pad_id=0, pad_token="</s>", length=64)  # noqa: S106 - a token, no secret
    return torch.tensor([encoding.ids for encoding in tokenizer.encode_batch(list(texts))])


def test_siglip_pixels_are_the_processors(siglip: Checkpoint, siglip_folder: Path, radiographs: Read) -> None:
    images = radiographs("voi")
    processor = SiglipImageProcessorPil.from_pretrained(siglip_folder)
    expected = [processor(as_8_bit(image), return_tensors="np")["pixel_values"][0] for image in images]
    np.testing.assert_allclose(prepared(siglip, images), np.stack(expected), atol=1e-5)


def test_siglip_embeds_as_transformers(siglip: Checkpoint, siglip_folder: Path, radiographs: Read) -> None:
    model = SiglipModel.from_pretrained(siglip_folder).eval()
    pixels = prepared(siglip, radiographs("voi"))
    with torch.no_grad():
        seen = model.vision_model(torch.from_numpy(pixels))
        # A patch is what the head makes of that patch alone.
        alone = [model.vision_model.head(patch[:, None]) for patch in seen.last_hidden_state.unbind(1)]
        same_images(siglip, pixels, seen.pooler_output, torch.stack(alone, dim=1))


def test_siglip_reads_and_scores_as_transformers(
    siglip: Checkpoint, siglip_folder: Path, radiographs: Read
) -> None:
    model = SiglipModel.from_pretrained(siglip_folder).eval()

    def encode(texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        seen = model.text_model(_siglip_texts(siglip_folder, texts))
        return seen.pooler_output, model.text_model.head(seen.last_hidden_state)

    with torch.no_grad():
        same_texts(siglip, encode)
        pixels = prepared(siglip, radiographs("voi"))
        for column, finding in enumerate(siglip.findings.findings[:3]):
            # One prompt alone scores as the model's own logits do.
            ids = _siglip_texts(siglip_folder, finding.positive)
            output = model(input_ids=ids, pixel_values=torch.from_numpy(pixels))
            mean = torch.nn.functional.normalize(output.text_embeds.mean(0), dim=-1)
            logits = output.image_embeds @ mean * model.logit_scale.exp() + model.logit_bias
            for scores in our_scores(siglip, pixels):
                np.testing.assert_allclose(scores[:, column], logits.sigmoid().numpy(), atol=1e-4)


@pytest.mark.usefixtures("without_graphs")
def test_siglip_2_reads_lower_cased_texts(siglip: Checkpoint, siglip_folder: Path, tmp_path: Path) -> None:
    """Its folder has the tokenizer of Gemma, which keeps capitals; its training had none."""
    for file in siglip_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tokenizer: Any = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Replace(".", "")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    texts = ["Pleural Effusion", "NO pneumothorax."]
    said = json.loads((tmp_path / "tokenizer_config.json").read_text())
    for kind, lowered in (
        ("GemmaTokenizerFast", True),
        ("Siglip2Tokenizer", True),
        ("SiglipTokenizer", False),
    ):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({**said, "tokenizer_class": kind}))
        convert(tmp_path, tmp_path / kind)
        made = open_checkpoint(tmp_path / kind)
        ids = TextTokenizer.of(made.path, made.config)(texts)[0]
        expected = TextTokenizer.of(siglip.path, siglip.config)(texts)[0]
        assert np.array_equal(ids, expected) == lowered, kind


@pytest.mark.usefixtures("without_graphs")
@pytest.mark.parametrize("family", [None, "medsiglip-stretch"])
def test_medsiglip_is_recognised_by_its_size_and_padded_unless_asked_to_stretch(
    tmp_path: Path, radiographs: Read, capfd: pytest.CaptureFixture[str], family: str | None
) -> None:
    size = siglip_tokenizer(tmp_path)
    text = {**SMALL, "hidden_size": 24, "vocab_size": size, "max_position_embeddings": 64}
    vision = {**SMALL, "hidden_size": 24, "image_size": 448, "patch_size": 112}
    randomise(SiglipModel(SiglipConfig(text_config=text, vision_config=vision))).save_pretrained(tmp_path)
    SiglipImageProcessorPil(size={"height": 448, "width": 448}).save_pretrained(tmp_path)
    capfd.readouterr()
    assert convert(tmp_path, tmp_path / "made", family)["family"] == (family or "medsiglip")
    checkpoint, images = open_checkpoint(tmp_path / "made"), radiographs("voi")
    open_engine(checkpoint, "torch", "cpu")
    tower_config(checkpoint.config["text_tower"])
    # transformers has something to say of the special tokens that the configuration names by default.
    assert capfd.readouterr() == ("", "")
    for ours, image in zip(prepared(checkpoint, images), images, strict=True):
        x = torch.from_numpy(np.asarray(as_8_bit(image), np.float32))[None, None]
        h, w = x.shape[-2:]
        new = (448, 448) if family else (int(h * (448 / max(h, w))), int(w * (448 / max(h, w))))
        resized = interpolate(x, new, mode="bilinear", align_corners=False, antialias=False)
        top, left = (448 - new[0]) // 2, (448 - new[1]) // 2
        around = (left, 448 - new[1] - left, top, 448 - new[0] - top)
        levels = (torch.nn.functional.pad(resized, around)[0].numpy() + 1e-3).astype(np.uint8)
        expected = np.repeat(levels / 127.5 - 1, 3, axis=0)
        # Where a sum of weights hits a whole level, rounding in the last bit may take it to the next.
        assert (np.abs(ours - expected) > 1e-5).mean() < 1e-3
        np.testing.assert_allclose(ours, expected, atol=1.01 / 127.5)
