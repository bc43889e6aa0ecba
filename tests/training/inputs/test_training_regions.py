"""Regions of training images follow their images: into the model's input, and through every augmentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from dicom_maker import write
from little import silent
from PIL import Image
from torch.nn import functional

from tier_cli.datasets.manifest import Manifest
from tier_cli.errors import ManifestError
from tier_cli.findings.load import load_findings
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.training.data.labels import TrainingRows, label_training_rows
from tier_cli.training.data.pairs import Pairs
from tier_cli.training.data.prompts import Prompts
from tier_cli.training.inputs.images import AugmentedImages, StreamedPixels
from tier_cli.training.inputs.regions import RegionBatch, TrainingRegions, count_regions, read_squares

SPECS = [
    Preprocessing(resize_short=72, crop=64),
    Preprocessing(resize_short=None, crop=64, fit="pad"),
    Preprocessing(resize_short=None, crop=64, fit="stretch"),
]
BOX = (70, 60, 100, 110)
SIZE = (160, 130)


@pytest.fixture
def image(tmp_path: Path) -> str:
    Image.fromarray(bright()).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


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


def found(
    rows: TrainingRows,
    folder: Path,
    spec: Preprocessing = SPECS[0],
    augmentation: str = "standard",
    order: list[int] | None = None,
    grid: tuple[int, int] = (64, 64),
) -> TrainingRegions:
    squares = read_squares(rows, ["effusion", "mass"], spec, folder, 0, silent)
    prompts = Prompts.of(rows, Pairs(rows, 0), 1, 0)
    numbers = np.array(order or range(len(rows)))
    return TrainingRegions(squares, prompts, numbers, spec, augmentation, 5, grid)


def cell(**entry: Any) -> str:
    return json.dumps([{"finding": "Effusion", **entry}])


def at(regions: TrainingRegions, rows: int, place: int = 0) -> RegionBatch | None:
    return regions.batch(np.arange(rows), np.full(rows, place), 0)


def overlap(grey: torch.Tensor, cover: torch.Tensor) -> float:
    """Return the intersection over union of what is white and of a region, patch by patch of one pixel."""
    lit, inside = grey > (grey.min() + grey.max()) / 2, cover.view(64, 64) > 0.5
    return float((lit & inside).sum() / (lit | inside).sum())


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.fit)
@pytest.mark.parametrize("augmentation", ["standard", "paper"])
def test_a_region_lies_where_its_pixels_lie(image, tmp_path, spec, augmentation):
    """A mask beside its image would teach the model a wrong place; the image itself says where it is."""
    rows = labelled(path=[image], boxes=[cell(box=BOX)])
    regions = found(rows, tmp_path, spec, augmentation)
    images = AugmentedImages(StreamedPixels(rows.paths, spec), spec, 5, None, augmentation)
    seen = 0
    for place in range(20):
        (pixels,), _, _ = images.batch(np.array([0]), np.array([place]))
        batch = at(regions, 1, place)
        if batch is None:
            # Crops of the paper may miss the region.
            assert augmentation == "paper"
            continue
        assert (batch.images.tolist(), batch.findings.tolist()) == ([0], [0])
        assert overlap(pixels[0], batch.cover[0]) > 0.8
        seen += 1
    assert seen > 10


def test_a_patch_is_covered_to_its_share(image, tmp_path):
    """Coarse patches hold the means of fine ones."""
    rows = labelled(path=[image], boxes=[cell(box=BOX)])
    fine, coarse = (at(found(rows, tmp_path, grid=(side, side)), 1) for side in (64, 4))
    assert fine is not None
    assert coarse is not None
    means = functional.avg_pool2d(fine.cover.view(1, 1, 64, 64), 16).flatten(1)
    torch.testing.assert_close(coarse.cover, means)


def test_sizes_masks_and_turned_files_count(image, tmp_path):
    """Boxes of another resolution, run lengths, mask files, and files that are displayed mirrored."""
    write(tmp_path / "a.dcm", pixels=bright().astype(np.uint16) * 16, PatientOrientation=["R", "F"])
    column = bright().T.ravel() == 255
    edges = [0, *(np.flatnonzero(np.diff(column)) + 1), len(column)]
    lengths = [int(n) for n in np.diff(edges)]
    doubled = [2 * edge for edge in BOX]
    rows = labelled(
        path=[image] * 3 + [str(tmp_path / "a.dcm")],
        boxes=[cell(box=doubled, size=[2 * edge for edge in SIZE]), "", "", cell(box=BOX)],
        mask=["", cell(size=SIZE, counts=lengths), cell(path=image), ""],
    )
    batch = at(found(rows, tmp_path), 4)
    assert batch is not None
    images = AugmentedImages(StreamedPixels(rows.paths, SPECS[0]), SPECS[0], 5, None)
    pixels, _, _ = images.batch(np.arange(4), np.zeros(4, np.int64))
    assert all(overlap(grey, cover) > 0.8 for grey, cover in zip(pixels[:, 0], batch.cover, strict=True))


def test_what_says_nothing_is_left_out_and_counted(image, tmp_path):
    """Other findings and regions outside the image; a tiny region stays."""
    other = json.dumps([{"finding": name, "box": BOX} for name in ("Nodule", "Rib", "Rib")])
    rows = labelled(
        path=[image] * 4,
        boxes=[other, cell(box=[500, 500, 600, 600]), cell(box=[60, 60, 60.2, 60.2]), ""],
    )
    assert count_regions(rows, ["effusion", "mass"]) == ({"effusion": 2}, {"Rib": 2, "nodule": 1})
    batch = at(found(rows, tmp_path), 4)
    assert batch is not None
    assert batch.images.tolist() == [2]


def test_findings_that_a_step_has_not_drawn_have_no_regions(image, tmp_path, monkeypatch):
    """Of many findings, each step has only some: the numbers of the others would name the wrong prompts."""
    monkeypatch.setattr("tier_cli.training.data.prompts._MOST_FINDINGS", 1)
    both = json.dumps([{"finding": name, "box": BOX} for name in ("Effusion", "Mass")])
    regions = found(labelled(path=[image], boxes=[both]), tmp_path)
    for step in range(8):
        _, (column,) = regions.prompts.draw(step)
        batch = regions.batch(np.arange(1), np.arange(1), step)
        assert batch is not None
        assert batch.findings.tolist() == [0]
        assert column in (0, 1)


def test_shuffled_rows_have_the_regions_of_others(image, tmp_path):
    """A control whose maps still saw the true regions would not be one."""
    batch = at(found(labelled(path=[image] * 3, boxes=["", cell(box=BOX), ""]), tmp_path, order=[2, 0, 1]), 3)
    assert batch is not None
    assert batch.images.tolist() == [2]


def test_regions_are_read_once(image, tmp_path):
    """A resumed run, or the next one of a sweep, has the same regions, whatever became of the files."""
    rows = labelled(path=[image], boxes=[cell(box=BOX)])
    before = found(rows, tmp_path).squares
    Path(image).unlink()
    assert found(rows, tmp_path).squares == before
    other = labelled(path=[image], boxes=[cell(box=[1, 2, 30, 40])])
    with pytest.raises(ManifestError, match=r"can no longer be read: .*a\.png"):
        found(other, tmp_path)
    assert read_squares(other, ["effusion"], SPECS[0], tmp_path, 0, silent, skip_unreadable=True) == {}


def test_a_missing_mask_file_is_told_before_images_are_read(image, tmp_path):
    rows = labelled(path=[image], mask=[cell(path=str(tmp_path / "gone.png"))])
    with pytest.raises(ManifestError, match=r"gone\.png: no such mask file"):
        count_regions(rows, ["effusion"])


def test_parts_of_a_batch_have_their_own_regions(image, tmp_path):
    batch = at(found(labelled(path=[image] * 4, boxes=["", cell(box=BOX)] * 2), tmp_path), 4)
    assert batch is not None
    second = batch.within(slice(2, 4))
    assert second.images.tolist() == [1]
    assert torch.equal(second.cover, batch.cover[1:])
