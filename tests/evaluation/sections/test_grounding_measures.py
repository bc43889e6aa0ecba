"""Grounding measures on maps made by hand, against counting pixels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score, jaccard_score, roc_auc_score

from tier_cli.evaluation.sections.grounding_measures import (
    Case,
    best_thresholds,
    cnr,
    dice_of_view,
    dices,
    halves,
    inside_auc,
    iou_of_view,
    ious,
    make_case,
    means,
    pointing,
    split_overlaps,
    usual_overlaps,
    usual_place,
)
from tier_cli.imaging.preprocess import Preprocessing, prepare
from tier_cli.metrics.bootstrap import resample

RNG = np.random.default_rng(0)
SIDE, GRID = 32, (4, 4)
# An image of 64 x 96 whose middle 64 x 64 the model sees at half size.
AFFINE = [[2.0, 0.0, 16.5], [0.0, 2.0, 0.5]]


def _region(x0: int, y0: int, x1: int, y1: int, shape: tuple[int, int] = (64, 96)) -> NDArray[np.bool_]:
    region = np.zeros(shape, dtype=bool)
    region[y0:y1, x0:x1] = True
    return region


def _case(region: NDArray[np.bool_], similarities: NDArray[np.float64] | None = None) -> Case:
    values = RNG.normal(size=16) if similarities is None else similarities
    return make_case(values, region, GRID, SIDE, AFFINE)


def _upsampled(case: Case) -> NDArray[np.float64]:
    """The similarity of every pixel of the view (64, 64)."""
    return np.asarray(np.kron(case.similarities.reshape(GRID), np.ones((16, 16))), np.float64)


def test_the_affine_of_prepare_is_the_one_of_the_hand_made_case() -> None:
    spec = Preprocessing(resize_short=None, crop=SIDE)
    np.testing.assert_allclose(prepare(np.zeros((64, 96), np.float32), spec).affine, AFFINE)


@pytest.mark.parametrize("box", [(20, 10, 45, 30), (0, 0, 30, 64), (70, 50, 96, 64), (16, 0, 80, 63)])
def test_numbers_are_those_of_counting_pixels(box: tuple[int, int, int, int]) -> None:
    region = _region(*box)
    case = _case(region)
    seen, values = region[:, 16:80], _upsampled(case)
    assert inside_auc(case) == pytest.approx(roc_auc_score(seen.ravel(), values.ravel()))
    inside, outside = values[seen], values[~seen]
    expected = (inside.mean() - outside.mean()) / np.sqrt(inside.var() + outside.var())
    assert cnr(case) == pytest.approx(expected)
    for threshold in (-0.5, 0.0, 0.7):
        whole = np.zeros(region.shape, dtype=bool)
        whole[:, 16:80] = values >= threshold
        assert ious(case, [threshold])[0] == pytest.approx(jaccard_score(region.ravel(), whole.ravel()))
        assert dices(case, [threshold])[0] == pytest.approx(f1_score(region.ravel(), whole.ravel()))
    everything = np.zeros(region.shape, dtype=bool)
    everything[:, 16:80] = True
    assert iou_of_view(case) == pytest.approx(jaccard_score(region.ravel(), everything.ravel()))
    assert dice_of_view(case) == pytest.approx(f1_score(region.ravel(), everything.ravel()))
    assert case.visible == pytest.approx(seen.sum() / region.sum())


def test_pointing_is_at_the_centre_of_the_best_patch_in_source_pixels() -> None:
    similarities = np.zeros(16)
    similarities[6] = 1  # second row, third column: centre at x = 16 + 40, y = 24
    for x0, hit in ((56, 1.0), (57, 0.0)):
        assert pointing(_case(_region(x0, 24, x0 + 4, 26), similarities)) == hit
    for y0, hit in ((24, 1.0), (25, 0.0)):
        assert pointing(_case(_region(50, y0, 60, y0 + 4), similarities)) == hit
    assert _case(_region(48, 32, 49, 33)).centre
    assert not _case(_region(0, 0, 48, 64)).centre


def test_a_map_without_a_best_patch_hits_by_chance_only() -> None:
    case = _case(_region(16, 0, 48, 64), np.zeros(16))
    assert pointing(case) == case.hits.mean() == 0.5
    assert inside_auc(case) == 0.5
    assert np.isnan(cnr(case))


def test_a_region_that_was_cropped_away_is_a_miss_and_has_no_auc() -> None:
    case = _case(_region(0, 0, 16, 64))
    assert (pointing(case), case.visible, case.centre) == (0, 0, False)
    assert ious(case, [-9])[0] == dices(case, [-9])[0] == 0
    assert np.isnan(inside_auc(case))
    assert np.isnan(cnr(case))


def test_a_region_over_the_whole_view_has_no_outside() -> None:
    case = make_case(RNG.normal(size=49), np.ones((101, 101), dtype=bool), (7, 7), 224, _fitted(101, 101))
    assert np.isnan(inside_auc(case))
    assert ious(case, [-9])[0] == pytest.approx(1)


def _fitted(height: int, width: int, fit: str = "stretch") -> NDArray[np.float64]:
    spec = Preprocessing(resize_short=None, crop=224, fit=fit)  # type: ignore[arg-type]
    return prepare(np.zeros((height, width), np.float32), spec).affine


def test_padding_is_not_part_of_the_image() -> None:
    region = _region(0, 0, 100, 25, (50, 100))
    case = make_case(RNG.normal(size=49), region, (7, 7), 224, _fitted(50, 100, "pad"))
    assert case.covered.sum() == pytest.approx(50 * 100)
    assert case.inside.sum() == pytest.approx(25 * 100)
    assert not case.covered.reshape(7, 7)[0].any()
    assert not case.hits.reshape(7, 7)[0].any()


def test_a_turned_affine_is_refused() -> None:
    with pytest.raises(ValueError, match="rotates or mirrors"):
        make_case(np.zeros(16), _region(0, 0, 9, 9), GRID, SIDE, np.array([[-2.0, 0, 80], [0, 2, 0]]))


def test_ignoring_the_crop_changes_the_numbers() -> None:
    """A bright square left of the middle of a wide image, and similarities that are brightness."""
    pixels = np.zeros((64, 128), np.float32)
    pixels[16:32, 48:64] = 1
    spec = Preprocessing(resize_short=None, crop=SIDE, mean=(0, 0, 0), std=(1, 1, 1))
    prepared = prepare(pixels, spec)
    brightness = prepared.pixels[0].reshape(4, 8, 4, 8).mean(axis=(1, 3)).ravel()
    right = make_case(brightness, pixels > 0, GRID, SIDE, prepared.affine)
    uncropped = prepared.affine * [[1, 1, 0], [1, 1, 1]]
    wrong = make_case(brightness, pixels > 0, GRID, SIDE, uncropped)
    assert pointing(right) == 1
    assert inside_auc(right) > 0.95
    assert cnr(right) > 1
    assert pointing(wrong) == 0
    assert inside_auc(wrong) < 0.6


def test_the_best_threshold_is_chosen_on_the_other_half_of_the_patients() -> None:
    """One half is best at threshold 1, the other at 0.5: each is measured at the other's."""
    levels = np.array([0.0] * 8 + [0.5] * 4 + [1.0] * 4)
    small, large = _region(16, 48, 80, 64), _region(16, 32, 80, 64)
    cases = [_case(region, levels) for region in (small, small, large, large)]
    patients = np.array(["a", "a", "b", "b"])
    parts = halves(patients)
    for overlap, other in ((ious, 0.5), (dices, 2 / 3)):
        thresholds = best_thresholds(cases, parts, overlap)
        first = np.array([overlap(case, thresholds[:1])[0] for case in cases])
        second = np.array([overlap(case, thresholds[1:])[0] for case in cases])
        assert sorted(thresholds) == [0.5, 1.0]
        np.testing.assert_allclose(split_overlaps(cases, parts, thresholds, overlap), [other] * 4)
        expected = [[1, 1, other, other], [other, other, 1, 1]]
        np.testing.assert_allclose(sorted([first, second], key=list, reverse=True), expected)
    none = best_thresholds(cases[:2], halves(patients[:2]), ious)
    assert np.isnan(none).all()
    assert np.isnan(split_overlaps(cases[:2], (), none, ious)).all()


def test_segmenting_without_looking_uses_regions_of_other_patients() -> None:
    """A finding that always covers one place is segmented perfectly; one that moves is not at all."""
    here, there = _region(16, 0, 32, 32), _region(64, 32, 80, 64)
    patients = np.array(list("abcdef"))
    parts = halves(patients)
    for values in usual_overlaps([_case(here) for _ in patients], parts, (dices, ious)):
        np.testing.assert_allclose(values, 1)
    moved = [_case(here if first else there) for first in parts[0]]
    dice, iou = usual_overlaps(moved, parts, (dices, ious))
    np.testing.assert_array_equal(dice, 0)
    np.testing.assert_array_equal(iou, 0)
    (alone,) = usual_overlaps(moved[:1], halves(patients[:1]), (dices,))
    assert np.isnan(alone).all()


def test_the_usual_place_comes_from_other_patients() -> None:
    """A finding that is always in one corner is hit without looking; one that moves is not."""
    corner, elsewhere = _region(16, 0, 32, 16), _region(64, 48, 80, 64)
    patients = np.array(list("abcdef"))
    always = usual_place([_case(corner) for _ in patients], halves(patients))
    np.testing.assert_array_equal(always, 1)
    parts = halves(patients)
    moved = [_case(corner if first else elsewhere) for first in parts[0]]
    np.testing.assert_array_equal(usual_place(moved, parts), 0)
    assert np.isnan(usual_place(moved[:1], halves(patients[:1]))).all()


def test_halves_share_no_patient() -> None:
    patients = np.array([f"p{n % 7}" for n in range(40)])
    first, second = halves(patients, seed=3)
    assert not set(patients[first]) & set(patients[second])
    assert (first ^ second).all()
    assert len(set(patients[first])) == 3


def test_means_within_groups_ignore_missing_values() -> None:
    values = {"auc": np.array([0.2, np.nan, 0.6, 1.0]), "hit": np.array([0.0, 1.0, 1.0, 0.0])}
    statistic = means(values, np.array([0, 0, 1, 1]), 3)
    found = resample({0: statistic}, ["a", "b", "c", "d"], replicates=50)[0]
    np.testing.assert_allclose(found["auc"].point, [0.2, 0.8, np.nan])
    np.testing.assert_allclose(found["hit"].point, [0.5, 0.5, np.nan])
    doubled = statistic(np.array([[2, 0, 1, 3]]))
    np.testing.assert_allclose(doubled["hit"], [[0, 0.25, np.nan]])
    np.testing.assert_allclose(doubled["auc"], [[0.2, 0.9, np.nan]])
