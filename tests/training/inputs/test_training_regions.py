"""Regions of training images follow their images: into the model's input, and through every augmentation."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from dicom_maker import write
from little import silent
from PIL import Image

from tier_cli.datasets.manifest import Manifest
from tier_cli.errors import InputError
from tier_cli.findings.load import load_findings
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.training.data.labels import TrainingRows, label_training_rows
from tier_cli.training.inputs.images import AugmentedImages, StreamedPixels
from tier_cli.training.inputs.regions import TrainingRegions, count_regions, read_squares

SPECS = [
    Preprocessing(resize_short=72, crop=64),
    Preprocessing(resize_short=None, crop=64, fit="pad"),
    Preprocessing(resize_short=None, crop=64, fit="stretch"),
]
BOX = (70, 60, 100, 110)
SIZE = (160, 130)


def bright(box: tuple[int, int, int, int] = BOX) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A dark portrait image that is white in the box."""
    image = np.random.default_rng(0).integers(0, 40, SIZE, dtype=np.uint8)
    x0, y0, x1, y1 = box
    image[y0:y1, x0:x1] = 255
    return image


def labelled(**cells: list[str]) -> TrainingRows:
    count = len(cells["path"])
    frame = pd.DataFrame({"Effusion": ["1"] * count, "Mass": ["0"] * count, **cells})
    return label_training_rows(Manifest(frame, "table"), load_findings("nih14"))


def found(rows: TrainingRows, spec: Preprocessing, augmentation: str = "standard") -> TrainingRegions:
    squares = read_squares(rows, ["effusion", "mass"], spec, 0, silent)
    return TrainingRegions(squares, spec, np.arange(len(rows)), augmentation, 5)


def cell(**entry: Any) -> str:
    return json.dumps([{"finding": "Effusion", **entry}])


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.fit)
@pytest.mark.parametrize("augmentation", ["standard", "paper"])
def test_a_region_lies_where_its_pixels_lie(tmp_path, spec, augmentation):
    """A mask beside its image would teach the model a wrong place; the image itself says where it is."""
    Image.fromarray(bright()).save(tmp_path / "a.png")
    rows = labelled(path=[str(tmp_path / "a.png")], boxes=[cell(box=BOX)])
    regions = found(rows, spec, augmentation)
    images = AugmentedImages(StreamedPixels(rows.paths, spec), spec, 5, None, augmentation)
    seen = 0
    for place in range(20):
        (pixels,), _, _ = images.batch(np.array([0]), np.array([place]))
        batch = regions.batch(np.array([0]), np.array([place]), ["mass", "effusion"])
        grey = pixels[0]
        if batch is None:
            # Crops of the paper may miss the region.
            assert augmentation == "paper"
            continue
        assert (batch.images.tolist(), batch.findings.tolist()) == ([0], [1])
        lit, inside = grey > (grey.min() + grey.max()) / 2, batch.masks[0] > 0.5
        assert (lit & inside).sum() / (lit | inside).sum() > 0.8
        seen += 1
    assert seen > 10


def test_sizes_masks_and_turned_files_count(tmp_path):
    """Boxes of another resolution, run lengths, mask files, and files that are displayed mirrored."""
    Image.fromarray(bright()).save(tmp_path / "a.png")
    write(tmp_path / "a.dcm", pixels=bright().astype(np.uint16) * 16, PatientOrientation=["R", "F"])
    column = bright().T.ravel() == 255
    edges = [0, *(np.flatnonzero(np.diff(column)) + 1), len(column)]
    lengths = [int(n) for n in np.diff(edges)]
    doubled = [2 * edge for edge in BOX]
    rows = labelled(
        path=[str(tmp_path / "a.png")] * 3 + [str(tmp_path / "a.dcm")],
        boxes=[cell(box=doubled, size=[2 * edge for edge in SIZE]), "", "", cell(box=BOX)],
        mask=["", cell(size=SIZE, counts=lengths), cell(path=str(tmp_path / "a.png")), ""],
    )
    spec = SPECS[0]
    regions = found(rows, spec)
    numbers = np.arange(4)
    batch = regions.batch(numbers, np.zeros(4, np.int64), ["effusion"])
    assert batch is not None
    pixels, _, _ = AugmentedImages(StreamedPixels(rows.paths, spec), spec, 5, None).batch(
        numbers, np.zeros(4, np.int64)
    )
    for grey, mask in zip(pixels[:, 0], batch.masks, strict=True):
        lit, inside = grey > (grey.min() + grey.max()) / 2, mask > 0.5
        assert (lit & inside).sum() / (lit | inside).sum() > 0.8


def test_what_says_nothing_is_left_out(tmp_path):
    """Other findings, regions outside the image, images that cannot be read; a tiny region stays."""
    Image.fromarray(bright()).save(tmp_path / "a.png")
    nodule = json.dumps([{"finding": "Nodule", "box": BOX}])
    rows = labelled(
        path=[str(tmp_path / "a.png")] * 4 + [str(tmp_path / "none.png")],
        boxes=[nodule, cell(box=[500, 500, 600, 600]), cell(box=[60, 60, 60.2, 60.2]), "", cell(box=BOX)],
    )
    regions = found(rows, SPECS[0])
    assert count_regions(regions.squares) == {"effusion": 1}
    batch = regions.batch(np.arange(5), np.zeros(5, np.int64), ["effusion"])
    assert batch is not None
    assert batch.images.tolist() == [2]
    assert regions.batch(np.arange(5), np.zeros(5, np.int64), ["mass"]) is None


def test_a_missing_mask_file_ends_the_run(tmp_path):
    Image.fromarray(bright()).save(tmp_path / "a.png")
    rows = labelled(path=[str(tmp_path / "a.png")], mask=[cell(path=str(tmp_path / "gone.png"))])
    with pytest.raises(InputError, match=r"gone\.png"):
        found(rows, SPECS[0])


def test_parts_of_a_batch_have_their_own_regions(tmp_path):
    Image.fromarray(bright()).save(tmp_path / "a.png")
    rows = labelled(path=[str(tmp_path / "a.png")] * 4, boxes=["", cell(box=BOX), "", cell(box=BOX)])
    batch = found(rows, SPECS[0]).batch(np.arange(4), np.arange(4), ["effusion"])
    assert batch is not None
    second = batch.within(slice(2, 4))
    assert second.images.tolist() == [1]
    assert torch.equal(second.masks, batch.masks[1:])
