"""Published protocols, on maps whose result follows from the authors' code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from tier_cli.datasets.regions import Region
from tier_cli.errors import UsageError
from tier_cli.evaluation.sections.grounding_protocols import (
    DICE_THRESHOLDS,
    PROTOCOLS,
    TUNED,
    PixelCase,
    bilinear,
    check_protocols,
    otsu,
    otsu_mask,
    pixel_case,
    protocol_values,
)
from tier_cli.imaging.orientation import Orientation
from tier_cli.maps.patch_grid import PatchGrid

RNG = np.random.default_rng(0)


def _whole(rows: int, columns: int, height: int, width: int, side: int = 32) -> PatchGrid:
    """A grid over the whole image, stretched to the square input."""
    across, down = width / side, height / side
    affine = ((across, 0.0, (across - 1) / 2), (0.0, down, (down - 1) / 2))
    return PatchGrid(rows, columns, side, affine, (height, width))


def _square(place: PatchGrid, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.bool_]:
    region = np.zeros(place.size, dtype=bool)
    region[y0:y1, x0:x1] = True
    return region


@pytest.mark.parametrize(("height", "width"), [(64, 64), (97, 50), (20, 71)])
def test_maps_are_enlarged_as_torch_does(height: int, width: int) -> None:
    """All three protocols resize with interpolate(mode="bilinear", align_corners=False)."""
    values = RNG.normal(size=(4, 5))
    expected = torch.nn.functional.interpolate(
        torch.tensor(values)[None, None], size=(height, width), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    np.testing.assert_allclose(bilinear(values, _whole(4, 5, height, width)), expected, atol=1e-6)


def test_what_the_model_does_not_see_has_no_value_and_is_never_the_highest() -> None:
    place = PatchGrid(4, 4, 32, ((1.0, 0.0, 16.0), (0.0, 1.0, 0.0)), (32, 64))
    full = bilinear(-RNG.random((4, 4)) - 1, place)
    assert np.isnan(full[:, :16]).all()
    assert np.isnan(full[:, 48:]).all()
    assert np.isfinite(full[:, 16:48]).all()
    region = _square(place, 0, 0, 16, 32)
    case = pixel_case(-RNG.random((4, 4)), region, [Region("a", box=(0, 0, 15, 32))], place)
    assert not case.hit
    assert not case.hit_box


def test_the_highest_pixel_decides_about_a_hit() -> None:
    """With corners aligned to edges, the map is flat outside the outer centres: the first pixel counts."""
    place = _whole(4, 4, 32, 32)
    values = np.zeros((4, 4))
    values[3, 3] = 1
    for x, hit in ((28, True), (29, False)):
        region = _square(place, x, 28, 32, 32)
        assert pixel_case(values, region, [Region("a", box=(x, 28, 32, 32))], place).hit is hit


def test_edges_of_a_box_are_hits_for_radzero_only() -> None:
    place = _whole(4, 4, 32, 32)
    values = np.zeros((4, 4))
    values[3, 3] = 1
    ends_there = Region("a", box=(10, 10, 28, 28))
    case = pixel_case(values, ends_there.mask(32, 32), [ends_there], place)
    assert (case.hit, case.hit_box) == (False, True)
    half_size = Region("a", box=(5, 5, 14, 14), size=(16, 16))
    assert pixel_case(values, half_size.mask(32, 32), [half_size], place).hit_box
    mask = Region("a", size=(32, 32), counts=(28 * 32 + 28, 1, 32 * 32 - 28 * 32 - 29))
    assert pixel_case(values, mask.mask(32, 32), [mask], place).hit_box


def test_boxes_are_compared_in_the_pixels_of_a_turned_file() -> None:
    """Else a hit in a file that is displayed mirrored would count as a miss."""
    place = replace(_whole(4, 4, 32, 32), orientation=Orientation(mirrored=True))
    values = np.zeros((4, 4))
    values[3, 3] = 1
    for box, hit in (((0, 24, 8, 32), True), ((24, 24, 32, 32), False)):
        region = Region("a", box=box)
        shown = place.orientation.upright(region.mask(32, 32))
        case = pixel_case(values, shown, [region], place)
        assert (case.hit, case.hit_box) == (hit, hit)


def _between(grey: NDArray[np.uint8], threshold: int) -> float:
    """The variance between the two classes."""
    low, high = grey[grey <= threshold].astype(float), grey[grey > threshold].astype(float)
    if not len(low) or not len(high):
        return 0.0
    return float(len(low) * len(high) / len(grey) ** 2 * (low.mean() - high.mean()) ** 2)


def test_otsu_separates_the_classes_best() -> None:
    grey = np.concatenate([RNG.normal(60, 15, 700), RNG.normal(170, 30, 300)]).clip(0, 255).astype(np.uint8)
    every = [_between(grey, threshold) for threshold in range(256)]
    assert _between(grey, otsu(grey)) == pytest.approx(max(every))


def test_holes_are_filled_as_contours_are_and_bays_are_not() -> None:
    scaled = np.zeros((9, 9), np.float32)
    scaled[1:8, 1:8] = 1
    scaled[3, 3] = 0
    scaled[5:7, 7] = 0
    mask = otsu_mask(scaled, np.ones((9, 9), dtype=bool))
    assert mask[3, 3]
    assert not mask[5:7, 7].any()
    assert mask.sum() == 49 - 2


def test_a_flat_map_segments_nothing_and_is_no_true_positive() -> None:
    place = _whole(4, 4, 32, 32)
    case = pixel_case(
        np.full((4, 4), 0.3), _square(place, 0, 0, 9, 9), [Region("a", box=(0, 0, 9, 9))], place
    )
    assert np.isnan(case.otsu)
    assert np.isnan(case.tuned).all()
    assert np.isfinite(case.dice).all()


def test_thresholds_are_shares_of_the_map_s_own_range() -> None:
    """Two patches side by side, 0 and 1: the map rises linearly between their centres."""
    place = _whole(1, 2, 10, 100)
    region = _square(place, 50, 0, 100, 10)
    case = pixel_case(np.array([[-7.0, 5.0]]), region, [Region("a", box=(50, 0, 100, 10))], place)
    scaled = np.interp(np.arange(100) + 0.5, [25, 75], [0, 1])
    for threshold, iou in zip(TUNED, case.tuned, strict=True):
        chosen = scaled > threshold
        expected = (chosen & (np.arange(100) >= 50)).sum() / (chosen | (np.arange(100) >= 50)).sum()
        assert iou == pytest.approx(expected)
    np.testing.assert_allclose(TUNED, [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])


def test_dice_above_every_threshold_is_that_of_counting_pixels() -> None:
    place = _whole(4, 4, 40, 30)
    values = RNG.normal(scale=0.3, size=(4, 4))
    region = _square(place, 5, 5, 20, 30)
    case = pixel_case(values, region, [Region("a", box=(5, 5, 20, 30))], place)
    full = bilinear(values, place).ravel()
    for number in (1700, 1950, 2000, 2150):
        expected = f1_score(region.ravel(), full > DICE_THRESHOLDS[number])
        assert case.dice[number] == pytest.approx(expected)


def _case(tuned: list[float], otsu_iou: float = 0.5, hit: bool = True, best: int = 2000) -> PixelCase:
    dice = np.zeros(len(DICE_THRESHOLDS), np.float32)
    dice[best] = 0.8
    return PixelCase(hit, not hit, otsu_iou, np.array(tuned), dice)


def test_chexlocalize_tunes_on_the_other_half_and_leaves_out_what_is_no_true_positive() -> None:
    nan = float("nan")
    first = _case([0.1, 0.9, 0.2, 0.2, 0.2, 0.2, 0.2], nan)
    second = _case([0.6, 0.3, 0.2, 0.2, 0.2, 0.2, nan], 0.4, hit=False)
    parts = (np.array([True, False]), np.array([False, True]))
    values, chosen = protocol_values("chexlocalize", [first, second], np.zeros(2), parts)
    assert chosen == {"miou_tuned": [0.2, 0.3]}
    np.testing.assert_allclose(values["miou_tuned"], [0.1, 0.3])
    np.testing.assert_allclose(values["miou_otsu"], [nan, 0.4])
    np.testing.assert_allclose(values["hit_rate"], [1, 0])
    alone, none = protocol_values("chexlocalize", [first], np.zeros(1), ())
    assert np.isnan(alone["miou_tuned"]).all()
    assert none == {"miou_tuned": []}


def test_radzero_chooses_its_threshold_on_the_measured_cases() -> None:
    cases = [_case([0.0] * 7, best=2100), _case([0.0] * 7, best=2100), _case([0.0] * 7, best=1900)]
    values, chosen = protocol_values("radzero", cases, np.zeros(3), ())
    assert chosen["dice"] == [pytest.approx(0.1)]
    np.testing.assert_allclose(values["dice"], [0.8, 0.8, 0.0], rtol=1e-6)
    np.testing.assert_allclose(values["pointing"], [0, 0, 0])


def test_carzero_points_with_the_centre_of_the_highest_patch() -> None:
    values, _ = protocol_values("carzero", [_case([0.0] * 7)] * 2, np.array([1.0, 0.5]), ())
    np.testing.assert_allclose(values["pointing"], [1, 0.5])


def test_every_protocol_gives_the_numbers_that_it_explains() -> None:
    for name, known in PROTOCOLS.items():
        values, _ = protocol_values(name, [_case([0.0] * 7)] * 2, np.zeros(2), ())
        assert list(values) == list(known.measures)


def test_names_of_protocols_are_checked() -> None:
    assert check_protocols(["chexlocalize", "radzero"]) == ("radzero", "chexlocalize")
    assert check_protocols(["all"]) == tuple(PROTOCOLS)
    with pytest.raises(UsageError, match=r"no protocol .radzerro. \(did you mean radzero"):
        check_protocols(["radzerro"])
    with pytest.raises(UsageError, match="no protocol is named"):
        check_protocols([])
