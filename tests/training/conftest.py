"""Tiny towers, and images whose labels are visible, to train on."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny import tiny_checkpoint, tiny_model, tiny_tokenizer

from tier_cli.model.checkpoint import write_checksums


@pytest.fixture(scope="session")
def towers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("towers")
    model = tiny_model()
    model.image_tower.save_pretrained(folder / "image")
    model.text_tower.save_pretrained(folder / "text")
    tiny_tokenizer(folder / "text")
    return ["--image-tower", str(folder / "image"), "--text-tower", str(folder / "text")]


@pytest.fixture
def without_graphs(monkeypatch, tmp_path_factory):
    """Checkpoints without graphs and curves, which take most of the time, for tests about something else."""

    # Built first: tests of other packages copy the same checkpoint, and need its graphs.
    tiny_checkpoint(tmp_path_factory.mktemp("whole"))

    def weights_only(folder, *rest):
        write_checksums(folder)
        return {}

    monkeypatch.setattr("tier_cli.model.save.complete", weights_only)
    monkeypatch.setattr("tier_cli.training.run.run.draw_curves", lambda folder, synthetic: folder)


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    """Images whose lower half is white where the label says effusion."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    lines = ["path,patient,split,view,Effusion"]
    for number in range(48):
        ramp = np.linspace(0, 96, 6400).reshape(80, 80)
        pixels = (ramp + rng.integers(0, 24, (80, 80))).astype(np.uint8)
        pixels[40:] += np.uint8(120 * (number % 2))
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(f"{number}.png,p{number},{'valid' if number >= 32 else 'train'},FRONTAL,{number % 2}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


@pytest.fixture(scope="session")
def boxed(manifest, tmp_path_factory):
    """The same images with a box around each white half, and with boxes of a finding that has no labels."""
    frame = pd.read_csv(manifest)
    frame["path"] = [str(manifest.parent / path) for path in frame["path"]]
    boxes = [{"finding": "Effusion", "box": [0, 40, 80, 80]}, {"finding": "Rib", "box": [0, 0, 9, 9]}]
    frame["boxes"] = np.where(frame["Effusion"] == 1, json.dumps(boxes), "")
    file = tmp_path_factory.mktemp("boxed") / "boxes.csv"
    frame.to_csv(file, index=False)
    return file
