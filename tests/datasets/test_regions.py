"""Boxes and masks of a manifest, compared with masks written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.datasets.regions import Region, boxes_cell, mask_cell, regions
from tier_cli.datasets.rle import encode_mask
from tier_cli.errors import InputError, ManifestError


def _manifest(folder: Path, **cells: str) -> Manifest:
    path = folder / "manifest.csv"
    header = ["path", *cells]
    row = ["a.png", *('"' + cell.replace('"', '""') + '"' for cell in cells.values())]
    path.write_text(
        ",".join(header) + "\nblank.png" + "," * len(cells) + "\n" + ",".join(row) + "\n", "utf-8"
    )
    return read_manifest(path)


def _one(folder: Path, **cells: str) -> tuple[Region, ...]:
    empty, found = regions(_manifest(folder, **cells))
    assert empty == ()
    return found


def test_a_box_excludes_its_last_column_and_row(tmp_path: Path) -> None:
    (region,) = _one(tmp_path, boxes='[{"finding": "Nodule", "box": [1, 2, 3, 6], "text": "a nodule"}]')
    assert (region.finding, region.text) == ("Nodule", "a nodule")
    truth = np.zeros((8, 5), dtype=bool)
    truth[2:6, 1:3] = True
    np.testing.assert_array_equal(region.mask(8, 5), truth)


def test_a_box_is_scaled_from_the_size_it_refers_to() -> None:
    region = Region("nodule", box=(512, 0, 1024, 256), size=(1024, 1024))
    truth = np.zeros((8, 4), dtype=bool)
    truth[0:2, 2:4] = True
    np.testing.assert_array_equal(region.mask(8, 4), truth)


@pytest.mark.parametrize(
    ("box", "pixels"), [((3.2, 3.2, 3.4, 3.4), 1), ((-5, -5, 2, 2), 4), ((8, 8, 9, 9), 0)]
)
def test_small_boxes_keep_a_pixel_and_none_wraps_around(
    box: tuple[float, float, float, float], pixels: int
) -> None:
    assert Region("nodule", box=box).mask(8, 8).sum() == pixels


def test_masks_are_run_lengths_plain_or_compressed(tmp_path: Path) -> None:
    truth = np.array([[0, 1, 1, 1], [0, 1, 0, 1], [1, 1, 1, 1]], dtype=bool)
    for counts in ([2, 5, 1, 4], "251O"):
        cell = json.dumps([{"finding": "x", "size": [3, 4], "counts": counts}])
        (region,) = _one(tmp_path, mask=cell)
        np.testing.assert_array_equal(region.mask(3, 4), truth)
        np.testing.assert_array_equal(region.mask(6, 8), truth.repeat(2, 0).repeat(2, 1))


def test_a_mask_may_be_longer_than_csv_likes(tmp_path: Path) -> None:
    mask = np.zeros((500, 500), dtype=bool)
    mask[::2] = True
    cell = mask_cell([Region("x", size=(500, 500), counts=encode_mask(mask))])
    assert len(cell) > 131_072
    (region,) = _one(tmp_path, mask=cell)
    np.testing.assert_array_equal(region.mask(500, 500), mask)


def test_a_mask_that_is_shrunk_does_not_vanish() -> None:
    counts = (0, 1, 9999)
    small = Region("x", size=(100, 100), counts=counts).mask(10, 10)
    assert small[0, 0]
    assert small.sum() == 1


def test_a_mask_may_be_a_picture(tmp_path: Path) -> None:
    truth = np.zeros((6, 4), dtype=bool)
    truth[1:4, 2:] = True
    for name, pixels in (("m.png", truth * np.uint8(255)), ("one.png", truth * np.uint8(1))):
        Image.fromarray(pixels).save(tmp_path / name)
        (region,) = _one(tmp_path, mask=json.dumps([{"finding": "x", "path": name}]))
        np.testing.assert_array_equal(region.mask(6, 4), truth)
    Image.fromarray(np.zeros((6, 4), np.uint8)).save(tmp_path / "m.png")
    assert not Region("x", path=str(tmp_path / "m.png")).mask(6, 4).any()


def test_a_missing_or_broken_picture_is_an_error_of_the_image(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such mask"):
        Region("x", path=str(tmp_path / "none.png")).mask(6, 4)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputError, match="the mask cannot be decoded"):
        Region("x", path=str(tmp_path / "broken.png")).mask(6, 4)


def test_regions_survive_being_written(tmp_path: Path) -> None:
    found = (
        Region("nodule", "a nodule, left", (1.0, 2.5, 3.0, 4.0), (10, 12)),
        Region("mass", size=(2, 2), counts=(0, 2, 2)),
        Region("mass", path=str(tmp_path / "m.png")),
    )
    assert _one(tmp_path, boxes=boxes_cell(found), mask=mask_cell(found)) == found
    assert boxes_cell(()) == mask_cell(()) == ""


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("boxes", "{", "not JSON"),
        ("boxes", "[" * 100_000, "not JSON"),
        ("boxes", "{}", "not a list of objects"),
        ("boxes", "[1]", "not a list of objects"),
        ("boxes", '[{"finding": "x"}]', "the box is not four numbers"),
        ("boxes", '[{"finding": "x", "box": [1, 2, 3]}]', "the box is not four numbers"),
        ("boxes", '[{"finding": "x", "box": [1, 2, 3, NaN]}]', "the box is not four numbers"),
        ("boxes", '[{"finding": "x", "box": [3, 2, 3, 4]}]', "is empty"),
        ("boxes", '[{"box": [1, 2, 3, 4]}]', "has no finding"),
        ("boxes", '[{"finding": "x", "box": [1, 2, 3, 4], "text": 1}]', "text of the region"),
        ("boxes", '[{"finding": "x", "box": [1, 2, 3, 4], "size": [0, 4]}]', "is not possible"),
        ("mask", '[{"finding": "x", "counts": [1]}]', "the mask has no size"),
        ("mask", '[{"finding": "x", "size": [2, 2], "counts": [1]}]', "cover 1 pixels"),
        ("mask", '[{"finding": "x", "size": [2, 2], "counts": [true, 3]}]', "whole numbers"),
        ("mask", '[{"finding": "x", "size": [2, 2], "counts": "é"}]', "'é'"),
        ("mask", '[{"finding": "x", "size": [2.0, 2], "counts": [4]}]', "height, width"),
        ("mask", '[{"finding": "x", "size": [100000, 100000], "counts": [1]}]', "is not possible"),
        ("mask", '[{"finding": "x", "path": ""}]', "path of the mask"),
    ],
)
def test_faults_name_row_and_column(tmp_path: Path, column: str, cell: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        _one(tmp_path, **{column: cell})
    assert f"column '{column}', image {tmp_path / 'a.png'}" in str(caught.value)
