"""Images that cannot be read: as many as allowed are left out, counted and named, however images are read."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from little import silent
from PIL import Image
from xrays import picture

from tier_cli.app import main
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.training.inputs.features import FrozenFeatures, unreadable_rows, write_features
from tier_cli.training.inputs.images import AugmentedImages, StreamedPixels

SPEC = Preprocessing(resize_short=36, crop=32)
MODES = [("memory-map", "0"), ("stream", "0"), ("memory-map", "1"), ("stream", "1")]
AS_THEY_ARE = torch.nn.Identity()


def run(manifest, output, towers, *more):
    return main(["train", "--data", str(manifest), "--output", str(output), *towers, "--image-size", "64",
                 "--batch-size", "16", "--freeze-text-layers", "0", "--epochs", "2", *more])  # fmt: skip


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def broken(manifest, tmp_path):
    """A manifest with a training image that is cut off and a watched one that is not there."""
    cut = tmp_path / "cut.png"
    cut.write_bytes((manifest.parent / "6.png").read_bytes()[:200])
    lines = manifest.read_text().splitlines()
    lines = [lines[0]] + [str(manifest.parent / line) for line in lines[1:]]
    text = "\n".join(lines) + "\n"
    text = text.replace(f"{manifest.parent / '6.png'},", f"{cut},").replace("/40.png,", "/nothing.png,")
    (tmp_path / "broken.csv").write_text(text)
    return tmp_path / "broken.csv"


@pytest.mark.parametrize(("images", "frozen"), MODES)
def test_max_bad_is_of_the_whole_run(images, frozen, broken, towers, tmp_path, capsys, without_graphs):
    """One image to train on and one to watch are two, and 1 allows one of them."""
    # Without a loading process, which takes seconds to start: test_distributed.py has one.
    more = ("--images", images, "--freeze-image-blocks", frozen, "--workers", "0")
    assert run(broken, tmp_path / "a", towers, *more) == 2
    assert "cut.png" in (told := said(capsys)) or "nothing.png" in told
    assert "--max-bad" in told
    assert run(broken, tmp_path / "b", towers, *more, "--max-bad", "1") == 2
    told = said(capsys)
    assert "(2 in the whole run)" in told or "2 images could not be read" in told
    assert run(broken, tmp_path / "c", towers, *more, "--max-bad", "2") == 0
    told = said(capsys)
    assert "2 unreadable images" in told
    assert "cut.png" in told
    assert "nothing.png" in told
    assert json.loads((tmp_path / "c" / "training.json").read_text())["unreadable_images"] == 2
    card = (tmp_path / "c" / "README.md").read_text()
    assert "unreadable: 2" in card
    assert "cut.png" not in card


@pytest.mark.parametrize("kept", [True, False])
def test_kept_features_know_which_images_they_lack(kept, broken, towers, tmp_path, capsys, without_graphs):
    more = ["--images", "stream", "--freeze-image-blocks", "1", "--max-bad", "2", "--epochs", "1"]
    more += ["--features", str(tmp_path / "kept")] if kept else []
    for name in "ab":
        assert run(broken, tmp_path / name, towers, *more) == 0
        record = json.loads((tmp_path / name / "training.json").read_text())
        assert (record["unreadable_images"], record["data"]["images"]) == (2, 31)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


def test_a_missing_image_is_named_when_frozen_features_are_made(manifest, towers, tmp_path, capsys):
    absent = manifest.with_name("absent-features.csv")
    absent.write_text(manifest.read_text().replace("9.png,p9,", "nothing.png,p9,", 1))
    assert run(absent, tmp_path / "a", towers, "--images", "stream", "--freeze-image-blocks", "1") == 2
    told = capsys.readouterr().err.replace("\n", "")
    assert "nothing.png" in told
    assert "--max-bad" in told


def allowed(bad):
    """Any number of them."""


def images(paths):
    return AugmentedImages(StreamedPixels(paths, SPEC), SPEC, 0, None)


def test_features_stay_with_their_images(tmp_path):
    """The features of an image after one that cannot be read are its own, not its neighbour's."""
    paths = [str(tmp_path / f"{number}.png") for number in range(20)]
    for number, path in enumerate(paths):
        Image.fromarray(picture(number, 70, 90)).save(path)
    broken = [*paths[:2], str(tmp_path / "gone.png"), *paths[3:17], str(tmp_path / "lost.png"), *paths[18:]]
    cpu, whole, part = torch.device("cpu"), tmp_path / "whole.npy", tmp_path / "part.npy"
    write_features(images(paths), 20, AS_THEY_ARE, 2, whole, cpu, silent, allowed)
    write_features(images(broken), 20, AS_THEY_ARE, 2, part, cpu, silent, allowed)
    assert unreadable_rows(whole) == {}
    assert list(unreadable_rows(part)) == [2, 17]
    assert "gone.png" in unreadable_rows(part)[2]
    keep = np.setdiff1d(np.arange(20), [2, 17])
    rows, places = np.arange(18), np.arange(100, 118)
    found, taken, missed = FrozenFeatures(part, keep, 0).batch(rows, places)
    expected, _, _ = FrozenFeatures(whole, np.arange(20), 0).batch(keep, places)
    assert torch.equal(found, expected)
    assert taken.tolist() == rows.tolist()
    assert missed == []
