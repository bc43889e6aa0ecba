"""Regions are the connected patches above a threshold, outlined where they lie in the file."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from explanations import GRID, finding
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from scipy import ndimage

from tier_cli.imaging.orientation import UPRIGHT, Orientation
from tier_cli.maps.patch_grid import PatchGrid
from tier_cli.maps.regions import Ring, feature_collection, peak_of, regions, stored

RNG = np.random.default_rng(0)
# One source pixel for each pixel of the input, 10 of them a patch.
PLAIN = PatchGrid(7, 7, 70, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), (70, 70))


def _area(ring: Ring) -> float:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring)) / 2


@pytest.mark.parametrize("seed", range(20))
def test_regions_are_those_that_scipy_finds(seed: int) -> None:
    values = np.random.default_rng(seed).uniform(0, 1, (7, 7))
    labels, count = ndimage.label(values >= 0.5)
    found = regions(values, 0.5, PLAIN)
    wanted = [frozenset(map(tuple, np.argwhere(labels == number + 1).tolist())) for number in range(count)]
    assert {frozenset(region.patches) for region in found} == set(wanted)
    for region in found:
        own = [values[cell] for cell in region.patches]
        assert region.mean == pytest.approx(np.mean(own))
        assert region.peak == max(own)
        # Holes run the other way round, so that their area is negative.
        assert sum(map(_area, region.rings)) == pytest.approx(100 * len(region.patches))
        assert [_area(ring) > 0 for ring in region.rings] == [True] + [False] * (len(region.rings) - 1)
    assert [region.peak for region in found] == sorted((region.peak for region in found), reverse=True)


@pytest.mark.parametrize("seed", range(5))
def test_an_outline_holds_the_centres_of_its_patches_and_no_others(seed: int) -> None:
    values = np.random.default_rng(seed).uniform(0, 1, (7, 7))
    inside: NDArray[np.bool_] = np.zeros((7, 7), bool)
    rows, columns = np.mgrid[:7, :7]
    centres = np.stack([columns.ravel() * 10 + 5, rows.ravel() * 10 + 5], axis=1)
    for region in regions(values, 0.6, PLAIN):
        outline, *holes = (Outline(ring).contains_points(centres).reshape(7, 7) for ring in region.rings)
        for hole in holes:
            outline &= ~hole
        inside |= outline
    np.testing.assert_array_equal(inside, values >= 0.6)


def test_outlines_end_with_the_image() -> None:
    # Patches of 30 px that begin 10 px left of an image which is 50 px wide.
    grid = PatchGrid(2, 2, 2, ((30.0, 0.0, 4.5), (0.0, 30.0, 14.5)), (60, 50))
    (region,) = regions(np.ones((2, 2)), 0.5, grid)
    assert region.box == pytest.approx((0, 0, 50, 60))


def test_patches_beside_the_image_do_not_count() -> None:
    grid = PatchGrid(1, 3, 3, ((10.0, 0.0, -5.5), (0.0, 10.0, 4.5)), (10, 10))
    values = np.array([[0.9, 0.2, 0.8]])
    assert regions(values, 0.5, grid) == []
    found = peak_of(values, grid)
    assert found is not None
    assert found[2] == pytest.approx(0.2)


def test_a_map_without_numbers_has_no_peak() -> None:
    assert peak_of(np.full((7, 7), np.nan), PLAIN) is None


@pytest.mark.parametrize(
    "orientation", [UPRIGHT, Orientation(True, True, False), Orientation(False, True, True)]
)
def test_places_are_those_of_the_file_as_it_is_stored(orientation: Orientation) -> None:
    grid = PatchGrid(3, 4, 24, GRID.affine, GRID.size, orientation)
    mark = np.zeros(grid.stored_size)
    mark[20, 30] = 1
    row, column = np.argwhere(orientation.upright(mark))[0]
    assert stored(grid, column + 0.5, row + 0.5) == pytest.approx((30.5, 20.5))


def test_a_document_names_the_finding_and_its_threshold() -> None:
    values = np.zeros((3, 4))
    values[1, 2] = 0.5
    one = finding(values=values, threshold=0.4)
    document = feature_collection((one, finding(values=values, threshold=None)), GRID)
    (feature,) = document["features"]
    assert feature["properties"] == {
        "finding": "Pleural effusion",
        "label": "Pleural effusion",
        "similarity": "difference",
        "threshold": 0.4,
        "mean": 0.5,
        "peak": 0.5,
        "patches": 1,
    }
    assert feature["bbox"] == pytest.approx(GRID.box(1, 2))
    assert feature["geometry"]["coordinates"][0][0] == feature["geometry"]["coordinates"][0][-1]
