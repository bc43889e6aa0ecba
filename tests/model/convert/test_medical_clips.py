"""CXR-CLIP, MedCLIP and UniMed-CLIP, against rebuilds of their architectures and their preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from foreign import MEAN, STD, bert_tokenizer
from foreign_medical import save_cxr_clip, save_medclip, save_unimed_clip
from parity import TEXTS, Read, as_8_bit, engines, our_scores, prepared, same_images, same_texts
from PIL import Image
from torch.nn.functional import cosine_similarity, normalize
from transformers import BertTokenizer

from tier_cli.app import main
from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import IMAGE_GRAPH, Checkpoint, open_checkpoint
from tier_cli.model.convert import convert

TIGHT = 1e-5
KINDS = ("cxr-clip resnet", "cxr-clip swin", "medclip resnet", "medclip swin", "unimed-clip")
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5,) * 3, (0.5,) * 3)


class Home(NamedTuple):
    """A checkpoint, the model it was made from, and the file that was converted."""

    kind: str
    checkpoint: Checkpoint
    original: Any
    source: Path

    @property
    def rendering(self) -> str:
        return "voi" if self.kind == "unimed-clip" else "minmax-equalized"

    def ids(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        tokenizer = BertTokenizer(str(self.source.parent / "vocab.txt"))
        cut = {"truncation": True, "max_length": 77 if "medclip" in self.kind else 256}
        padding = "max_length" if self.kind == "unimed-clip" else "longest"
        seen = tokenizer(list(texts), return_tensors="pt", padding=padding, **cut)
        return seen["input_ids"], seen["attention_mask"]

    def encode(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        ids, mask = self.ids(texts)
        if self.kind == "unimed-clip":
            pooled, tokens = self.original.encode_text(ids)
            return pooled, tokens
        pooled, tokens = self.original.encode_text(ids, mask)
        return pooled, tokens

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """(3, S, S): the authors' evaluation transform, by Pillow."""
        if "medclip" in self.kind:
            # Padded to a square of at least 224 pixels before anything else.
            side = max(224, *image.size)
            square = Image.new("L", (side, side), 0)
            square.paste(image, (int((side - image.width) / 2), int((side - image.height) / 2)))
            levels = np.asarray(square.resize((224, 224), Image.Resampling.BICUBIC), np.float32) / 255
            grey = torch.from_numpy((levels - 0.5862785803043838) / 0.27950088968644304)
            return grey[None].repeat(3, 1, 1)
        size = 64 if self.kind == "unimed-clip" else 224
        filter_ = Image.Resampling.BICUBIC if self.kind == "unimed-clip" else Image.Resampling.BILINEAR
        short = min(image.size)
        image = image.resize((int(size * image.width / short), int(size * image.height / short)), filter_)
        left, top = (round((length - size) / 2.0) for length in image.size)
        x = torch.from_numpy(np.asarray(image.crop((left, top, left + size, top + size)), np.float32) / 255)
        mean, std = {"unimed-clip": (MEAN, STD), "cxr-clip resnet": _IMAGENET}.get(self.kind, _HALF)
        return (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


@pytest.fixture(scope="module", params=KINDS)
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    kind: str = request.param
    family, _, tower = kind.partition(" ")
    folder = tmp_path_factory.mktemp(family)
    vocabulary = bert_tokenizer(folder)
    original: Any
    if family == "cxr-clip":
        original, file = save_cxr_clip(folder, vocabulary, tower == "swin"), "model-best.tar"
    elif family == "medclip":
        original, file = save_medclip(folder, vocabulary, tower == "swin"), "pytorch_model.bin"
    else:
        original, file = save_unimed_clip(folder, vocabulary), "unimed.pt"
    with pytest.MonkeyPatch.context() as patch:
        if kind != "medclip swin":
            # Tracing takes longest. Graphs of the other towers are compared for BioViL and CLIP.
            patch.setattr("tier_cli.model.export.export_graphs", lambda folder: {})
        facts = convert(folder / file, folder / "made", tokenizer=folder)
    assert facts["family"] == family
    scoring = {"cxr-clip": "softmax_pair", "medclip": "cosine"}.get(family, "cosine_difference")
    assert facts["scoring"] == scoring
    unused = ("position_ids", "pooler.dense.weight", "pooler.dense.bias", "relative_position_index")
    assert all(name.endswith(unused) for name in facts["left_out"])
    return Home(kind, open_checkpoint(folder / "made"), original, folder / file)


def test_pixels_are_the_authors(home: Home, radiographs: Read) -> None:
    images = radiographs(home.rendering)
    expected = np.stack([home.pixels(as_8_bit(image)) for image in images])
    np.testing.assert_allclose(prepared(home.checkpoint, images), expected, atol=TIGHT)


def test_images_and_patches_are_the_originals(home: Home, radiographs: Read) -> None:
    images = radiographs(home.rendering)
    pixels = torch.stack([home.pixels(as_8_bit(image)) for image in images])
    with torch.no_grad():
        pooled, patches = (
            home.original.visual(pixels) if home.kind == "unimed-clip" else home.original.encode_image(pixels)
        )
    same_images(home.checkpoint, prepared(home.checkpoint, images), pooled, patches, TIGHT)


def test_texts_are_the_originals(home: Home) -> None:
    with torch.no_grad():
        if "medclip" not in home.kind:
            same_texts(home.checkpoint, home.encode, tolerance=TIGHT)
            return
        # One at a time: the authors' mean over a batch counts the padding of its shorter texts.
        expected = torch.cat([home.original.encode_text(*home.ids([text])) for text in TEXTS])
    for engine in engines(home.checkpoint):
        np.testing.assert_allclose(engine.project_texts(TEXTS), expected.numpy(), atol=TIGHT)


def test_scores_are_the_authors(home: Home, radiographs: Read) -> None:
    pixels = prepared(home.checkpoint, radiographs(home.rendering))
    images = torch.from_numpy(pixels)
    finding = home.checkpoint.findings.findings[2]
    with torch.no_grad():
        if home.kind == "unimed-clip":
            pooled = home.original.visual(images)[0]
        else:
            pooled = home.original.encode_image(images)[0]

        def side(prompts: Sequence[str]) -> torch.Tensor:
            encode = home.original.encode_text
            if "medclip" in home.kind:
                rows = torch.cat([encode(*home.ids([prompt])) for prompt in prompts])
            else:
                rows = home.encode(prompts)[0]
            return cosine_similarity(pooled, normalize(rows, dim=-1).mean(0)[None])

        positive, negative = side(finding.positive), side(finding.negative)
    if home.kind.startswith("cxr-clip"):
        label = finding.label
        assert (finding.positive, finding.negative) == ((label,), (f"No {label}",))
        expected = torch.stack([negative, positive]).softmax(dim=0)[1]
    elif home.kind.startswith("medclip"):
        expected = positive
    else:
        expected = positive - negative
    for scores in our_scores(home.checkpoint, pixels):
        np.testing.assert_allclose(scores[:, 2], expected.numpy(), atol=TIGHT)


def test_info_names_the_towers(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "info", str(home.checkpoint.path), "--json"]) == 0
    shown = capsys.readouterr().out
    tower = {"resnet": "resnet", "swin": "swin"}.get(home.kind.partition(" ")[2], "clip_vision_model")
    assert f'"image_tower": "{tower}", "text_tower": "bert"' in shown
    complete = (home.checkpoint.path / IMAGE_GRAPH).is_file()
    assert main(["model", "verify", str(home.checkpoint.path)]) == (0 if complete else 2)


@pytest.mark.slow
def test_graphs_of_every_kind_are_the_models(home: Home, tmp_path: Path, radiographs: Read) -> None:
    """By default only Swin's graph is traced: its windows are what a trace can get wrong."""
    convert(home.source, tmp_path / "made", tokenizer=home.source.parent)
    pixels = prepared(home.checkpoint, radiographs(home.rendering))
    onnx, plain = engines(open_checkpoint(tmp_path / "made"))
    np.testing.assert_allclose(onnx.encode_images(pixels), plain.encode_images(pixels), atol=1e-4)
    np.testing.assert_allclose(onnx.embed_texts(TEXTS), plain.embed_texts(TEXTS), atol=1e-4)


@pytest.mark.usefixtures("without_graphs")
def test_the_licence_is_said_while_converting(home: Home, tmp_path: Path) -> None:
    said: list[str] = []
    convert(home.source, tmp_path / "made", tokenizer=home.source.parent, report=said.append)
    licences = {"cxr-clip": "CC BY-NC-SA 4.0", "medclip": "none stated", "unimed-clip": "CC BY-NC 4.0"}
    licence = licences[home.kind.partition(" ")[0]]
    assert said[0].endswith(f" as published: licence {licence}.")
    assert any("MIMIC-CXR" in line for line in said)
    card = (tmp_path / "made" / "README.md").read_text()
    assert all(line in card for line in said)


@pytest.mark.usefixtures("without_graphs")
def test_a_missing_tensor_has_the_files_name(home: Home, tmp_path: Path) -> None:
    content = torch.load(home.source, weights_only=True)
    state = content.get("model") or content.get("state_dict") or content
    name = next(name for name in state if name.endswith(("layer.1.output.dense.bias", "dense.bias")))
    del state[name]
    torch.save(content, tmp_path / home.source.name)
    with pytest.raises(CheckpointError, match=f"missing {name.removeprefix('module.')}"):
        convert(tmp_path / home.source.name, tmp_path / "made", tokenizer=home.source.parent)


@pytest.mark.usefixtures("without_graphs")
def test_settings_of_another_cxr_clip_count(tmp_path: Path) -> None:
    """Its pooling is not in the tensors: another one would give other scores without an error."""
    save_cxr_clip(tmp_path, bert_tokenizer(tmp_path), swin_tower=False)
    file = tmp_path / "model-best.tar"
    content = torch.load(file, weights_only=True)
    content["config"]["base"] = {"text_max_length": 40, "image_size": 96}
    torch.save(content, file)
    convert(file, tmp_path / "made", tokenizer=tmp_path)
    made = open_checkpoint(tmp_path / "made")
    assert (made.max_tokens, made.preprocessing.crop) == (40, 96)
    content["config"]["model"]["text_encoder"] = {"pooling": "bos"}
    torch.save(content, file)
    with pytest.raises(CheckpointError, match="its text pooling is 'bos'; only 'eos'"):
        convert(file, tmp_path / "other", tokenizer=tmp_path)


def test_a_tokenizer_must_be_named(home: Home, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"contains no tokenizer.*vocab\.txt.*--tokenizer"):
        convert(home.source, tmp_path / "made")
