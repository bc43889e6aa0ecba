"""BioViL, BioViL-T and the TIER authors' checkpoints, against the published architecture in plain torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import xrays
from foreign import bert_tokenizer
from foreign_biovil import (
    CxrBert,
    ImageModel,
    TierAuthors,
    random_weights,
    save_text_tower,
    save_training,
)
from parity import TOLERANCE, Read, as_8_bit, our_scores, prepared, same_images, same_texts
from PIL import Image
from torch.nn.functional import cosine_similarity, normalize
from transformers import BertTokenizer

from tier_cli.errors import CheckpointError, UsageError
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph
from tier_cli.model.checkpoint import Checkpoint, open_checkpoint
from tier_cli.model.convert import convert

FAMILIES = ("biovil", "biovil-t", "tier-authors")
_FILES = ("biovil_image_resnet50_proj_size_128.pt", "biovil_t_image_model_proj_size_128.pt", "best_model.pt")
# Short side, crop, mean and deviation; the square is cut from the middle.
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_PIXELS = dict(
    zip(
        FAMILIES,
        [(512, 480, (0.0,) * 3, (1.0,) * 3), (512, 448, (0.0,) * 3, (1.0,) * 3), (256, 224, *_IMAGENET)],
        strict=True,
    )
)
_RENDERING = {"biovil": "minmax", "biovil-t": "minmax", "tier-authors": "minmax-equalized"}


class Home(NamedTuple):
    """A checkpoint and the model it was made from."""

    family: str
    checkpoint: Checkpoint
    image: ImageModel
    text: CxrBert
    vocabulary: Path
    source: Path

    def ids(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """As their programs cut texts into tokens: BioViL without the last full stop."""
        if self.family != "tier-authors":
            texts = [text.rstrip("!?.") for text in texts]
        tokenizer = BertTokenizer(str(self.vocabulary / "vocab.txt"))
        cut = tokenizer(list(texts), return_tensors="pt", padding=True, truncation=True, max_length=128)
        return cut["input_ids"], cut["attention_mask"]

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """(3, S, S): torchvision's Resize, CenterCrop, ToTensor and Normalize, by Pillow."""
        short, side, mean, std = _PIXELS[self.family]
        width, height = image.size
        scale = min(width, height)
        image = image.resize(
            (int(short * width / scale), int(short * height / scale)), Image.Resampling.BILINEAR
        )
        left, top = (round((length - side) / 2.0) for length in image.size)
        x = torch.from_numpy(np.asarray(image.crop((left, top, left + side, top + side)), np.float32) / 255)
        return (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def _parts(folder: Path, family: str) -> tuple[ImageModel, CxrBert]:
    """Write a foreign checkpoint into a folder."""
    name = _FILES[FAMILIES.index(family)]
    if family == "tier-authors":
        model: TierAuthors = random_weights(TierAuthors(bert_tokenizer(folder)))
        save_training(folder / name, model)
        return model.cnn, model.transformer
    image: ImageModel = random_weights(ImageModel(temporal=family == "biovil-t"))
    torch.save(image.state_dict(), folder / name)
    return image, save_text_tower(folder, seed=1)


@pytest.fixture(scope="module", params=FAMILIES)
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    family: str = request.param
    folder = tmp_path_factory.mktemp(family)
    image, text = _parts(folder, family)
    source, tokenizer = folder, None
    if family == "tier-authors":
        source, tokenizer = folder / "best_model.pt", folder
    with pytest.MonkeyPatch.context() as patch:
        if family == "tier-authors":
            # Its towers are those of BioViL: a slow test has its graphs.
            patch.setattr("tier_cli.model.export.export_graphs", lambda folder: {})
        facts = convert(source, folder / "made", tokenizer=tokenizer)
    assert (facts["family"], facts["scoring"]) == (family, "cosine_difference")
    assert facts["rendering"] == _RENDERING[family]
    # What is not in the files, or computed from them, need not fit into fp16.
    assert facts["stored_as"] == ("float16" if family == "tier-authors" else "float32")
    useless = ("fc.", "vit_pooler.", "cls.predictions.", "bert.embeddings.position_ids")
    assert any(name.endswith(useless[-1]) for name in facts["left_out"])
    assert all(any(part in name for part in useless) for name in facts["left_out"])
    return Home(family, open_checkpoint(folder / "made"), image, text, folder, source)


def test_pixels_match_the_original(home: Home, radiographs: Read) -> None:
    images = radiographs(_RENDERING[home.family])
    expected = np.stack([home.pixels(as_8_bit(image)) for image in images])
    np.testing.assert_allclose(prepared(home.checkpoint, images), expected, atol=1e-5)


def test_images_and_patches_match_the_original(home: Home, radiographs: Read) -> None:
    images = radiographs(_RENDERING[home.family])
    pixels = torch.stack([home.pixels(as_8_bit(image)) for image in images])
    with torch.no_grad():
        same_images(home.checkpoint, prepared(home.checkpoint, images), *home.image(pixels))


def test_texts_and_tokens_match_the_original(home: Home) -> None:
    with torch.no_grad():
        same_texts(home.checkpoint, lambda texts: home.text(*home.ids(texts)))


@pytest.mark.slow
@pytest.mark.parametrize("home", ["tier-authors"], indirect=True)
def test_graphs_of_the_authors_model_match_the_original(home: Home, tmp_path: Path) -> None:
    convert(home.source, tmp_path / "made", tokenizer=home.vocabulary)
    made = open_checkpoint(tmp_path / "made")
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        same_images(made, pixels.numpy(), *home.image(pixels))
        same_texts(made, lambda texts: home.text(*home.ids(texts)))


def test_image_scores_match_the_original(home: Home, radiographs: Read) -> None:
    images = radiographs(_RENDERING[home.family])
    with torch.no_grad():
        pooled = home.image(torch.stack([home.pixels(as_8_bit(image)) for image in images]))[0]
        expected = []
        for finding in home.checkpoint.findings.findings:
            sides = []
            for prompts in (finding.positive, finding.negative):
                rows = home.text(*home.ids(prompts))[0]
                rows = normalize(rows, dim=-1) if home.family == "tier-authors" else rows
                sides.append(cosine_similarity(pooled, rows.mean(0)[None]))
            expected.append((sides[0] - sides[1]).numpy())
    for scores in our_scores(home.checkpoint, prepared(home.checkpoint, images)):
        np.testing.assert_allclose(scores, np.stack(expected, axis=1), atol=TOLERANCE)


def test_grey_levels_are_the_files_own_stretched_to_8_bits(tmp_path: Path) -> None:
    """BioViL's reading of a file, on the values that were written into it."""
    raw = xrays.picture(3).astype(float)
    raw -= raw.min()
    expected = (raw / raw.max() * 255).astype(np.uint8)
    for path in (xrays.write_dicom(tmp_path / "a.dcm", 3), xrays.write_png(tmp_path / "a.png", 3)):
        ours = np.asarray(as_8_bit(read_radiograph(str(path), ReadOptions(rendering="minmax"))))
        difference = np.abs(ours.astype(int) - expected)
        # Quotients that are whole numbers can fall on either side.
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01


@pytest.mark.usefixtures("without_graphs")
def test_the_image_model_and_its_text_tower_may_be_in_two_places(home: Home, tmp_path: Path) -> None:
    if home.family == "tier-authors":
        with pytest.raises(UsageError, match="--text-tower"):
            convert(home.source, tmp_path / "made", text_tower=home.vocabulary)
        return
    file = home.source / _FILES[FAMILIES.index(home.family)]
    facts = convert(file, tmp_path / "made", text_tower=home.vocabulary)
    assert facts["family"] == home.family
    assert set(facts["source"]) == {file.name, "pytorch_model.bin"}
    assert open_checkpoint(tmp_path / "made").hashes == home.checkpoint.hashes
    with pytest.raises(CheckpointError, match="--text-tower"):
        convert(file, tmp_path / "alone")


_OF_THE_RESNET = (
    "encoder.encoder.bn1.running_mean",
    "encoder.encoder.layer2.0.conv2.weight",
    "encoder.encoder.layer3.0.bn1.bias",
    "encoder.encoder.layer3.0.downsample.1.running_var",
)


def _biovil(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    _parts(folder, "biovil")
    return folder / _FILES[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *((lambda state, name=name: state.pop(name), f"fit: missing {name};") for name in _OF_THE_RESNET),
        (lambda state: state.pop("projector.model.1.running_mean"), "projector.model.1.running_mean"),
        (lambda state: state.update({"encoder.more.weight": torch.zeros(1)}), "unused encoder.more.weight"),
        (
            lambda state: state.update({"encoder.encoder.layer5.0.x": torch.zeros(1)}),
            "unused encoder.encoder.layer5.0.x;",
        ),
        (
            lambda state: state.update({"bert.embeddings.LayerNorm.bias": torch.zeros(64)}),
            "both files contain",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, change, message: str) -> None:
    file = _biovil(tmp_path)
    state = torch.load(file, weights_only=True)
    change(state)
    torch.save(state, file)
    with pytest.raises(CheckpointError, match=message):
        convert(tmp_path, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_biovil_is_not_mistaken_for_biovil_t(tmp_path: Path) -> None:
    file = _biovil(tmp_path)
    with pytest.raises(CheckpointError, match=r"belongs to the family biovil;.*--family biovil"):
        convert(file, tmp_path / "made", family="biovil-t", text_tower=tmp_path)


@pytest.mark.parametrize(
    "name",
    ["cnn.encoder.encoder.bn1.running_mean", "transformer.bert.encoder.layer.1.attention.self.query.weight"],
)
def test_a_missing_tensor_is_named_as_the_file_would_name_it(tmp_path: Path, name: str) -> None:
    model: TierAuthors = random_weights(TierAuthors(bert_tokenizer(tmp_path)))
    file = save_training(tmp_path / "best_model.pt", model)
    content = torch.load(file, weights_only=False)
    del content["model_state_dict"][name]
    torch.save(content, file)
    # And alone: the rest of its layer is not superfluous for that.
    with pytest.raises(CheckpointError, match=f"do not fit: missing {name}; download the file again"):
        convert(file, tmp_path / "made", tokenizer=tmp_path)


def test_heads_that_differ_are_refused(tmp_path: Path) -> None:
    model: TierAuthors = random_weights(TierAuthors(bert_tokenizer(tmp_path)))
    file = save_training(tmp_path / "best_model.pt", model)
    content = torch.load(file, weights_only=False)
    name = "cls_projection_head.dense_to_output.bias"
    content["model_state_dict"][name] = content["model_state_dict"][name] + 1
    torch.save(content, file)
    with pytest.raises(CheckpointError, match=f"'{name}' and 'transformer.{name}' are different"):
        convert(file, tmp_path / "made", tokenizer=tmp_path)


def test_a_training_checkpoint_needs_a_tokenizer(tmp_path: Path) -> None:
    model: TierAuthors = random_weights(TierAuthors(bert_tokenizer(tmp_path)))
    file = save_training(tmp_path / "je_model-3.pt", model)
    with pytest.raises(CheckpointError, match="--tokenizer"):
        convert(file, tmp_path / "made")
