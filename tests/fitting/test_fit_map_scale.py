"""Ranges and thresholds of maps, against counting all patches and pixels."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from tier_cli.errors import ManifestError
from tier_cli.evaluation.sections.grounding_measures import Case, make_case
from tier_cli.findings.schema import Finding, FindingSet
from tier_cli.fitting.histogram import DiceCurve, Histogram
from tier_cli.fitting.map_scale import MIN_IMAGES, Gathered, fit_map_scale

FINDINGS = FindingSet("two", tuple(Finding(name, name, (), (name,), ("no",)) for name in ("mass", "rare")))
GRID, SIDE = (4, 4), 32
# The model sees the whole image of 32 x 32.
IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def _job() -> Any:
    member = SimpleNamespace(checkpoint=SimpleNamespace(scoring="cosine_difference"))
    return SimpleNamespace(members=(member,), findings=FINDINGS)


def _filled(values: NDArray[np.float64], images: int) -> Histogram:
    """Spread values over images, each of a patient of its own."""
    histogram = Histogram()
    for number, part in enumerate(np.array_split(values, images)):
        histogram.add(part, f"p{number}")
    return histogram


def _case(rng: np.random.Generator) -> tuple[Case, NDArray[np.float64], NDArray[np.bool_]]:
    """A case, the similarity of each pixel, and its region."""
    maps = rng.normal(scale=0.3, size=GRID).clip(-2, 2)
    region = np.zeros((SIDE, SIDE), dtype=bool)
    x, y = rng.integers(0, 20, 2)
    region[y : y + 11, x : x + 9] = True
    maps[(y + 5) // 8, (x + 4) // 8] += 0.5
    return make_case(maps.ravel(), region, GRID, SIDE, IDENTITY), np.kron(maps, np.ones((8, 8))), region


def test_ranges_are_quantiles_of_all_patches() -> None:
    values = np.random.default_rng(0).normal(0.1, 0.2, 10_000)
    low, high = _filled(values, 30).middle(0.005)
    np.testing.assert_allclose([low, high], np.quantile(values, [0.005, 0.995]), atol=2e-3)
    assert (values < low).mean() <= 0.005
    assert (values >= high).mean() <= 0.005


def test_at_most_the_share_asked_for_reaches_the_threshold() -> None:
    values = np.random.default_rng(1).normal(0, 0.1, 5000)
    histogram = _filled(values, 30)
    threshold = histogram.reached_by(0.01)
    assert (values >= threshold).mean() <= 0.01
    assert (values >= threshold - 0.01).mean() > 0.01, "no higher than needed"
    assert histogram.share_from(threshold) == pytest.approx((values >= threshold).mean())


def test_one_value_of_all_patches_still_gives_a_range() -> None:
    low, high = _filled(np.full(100, 0.25), 20).middle(0.005)
    assert low <= 0.25 <= high
    assert low < high


def test_dice_at_every_threshold_is_that_of_counting_pixels() -> None:
    rng = np.random.default_rng(2)
    curve, pixels = DiceCurve(), []
    for number in range(5):
        case, values, region = _case(rng)
        curve.add(case, f"p{number}")
        pixels.append((region.ravel(), values.ravel()))

    def mean(threshold: float) -> float:
        return float(np.mean([f1_score(region, values >= threshold) for region, values in pixels]))

    best, dice = curve.best()
    assert mean(best) == pytest.approx(dice)
    tried = np.unique(np.concatenate([values for _, values in pixels]))
    assert dice == pytest.approx(max(mean(threshold) for threshold in tried)), "no threshold is better"


def _gathered(cases: int, without: int) -> Gathered:
    rng = np.random.default_rng(3)
    kinds = {kind: _filled(rng.normal(0, 0.2, 4000), 50) for kind in ("difference", "positive", "phrase")}
    gathered = Gathered(kinds)
    for number in range(cases):
        gathered.dice.setdefault("mass", DiceCurve()).add(_case(rng)[0], f"p{number // 2}")
    if without:
        gathered.absent["mass"] = _filled(rng.normal(0, 0.2, 4000), without)
    return gathered


def test_enough_regions_choose_the_threshold_by_dice() -> None:
    content = fit_map_scale(_gathered(MIN_IMAGES, 40), _job())
    entry = content["thresholds"][FINDINGS.hash]["mass"]
    assert (entry["chosen_by"], entry["n"], entry["patients"]) == ("dice", MIN_IMAGES, MIN_IMAGES // 2)
    assert 0 < entry["dice"] <= 1
    assert 0 < entry["share_without"] < 1


def test_a_threshold_by_dice_marks_little_of_images_without_the_finding() -> None:
    """Otherwise a model that localises poorly outlines half of a healthy chest."""
    gathered = _gathered(MIN_IMAGES, 40)
    free, most = gathered.dice["mass"].best()
    values = np.random.default_rng(5).normal(free + 0.1, 0.2, 4000)
    gathered.absent["mass"] = _filled(values, 40)
    entry = fit_map_scale(gathered, _job())["thresholds"][FINDINGS.hash]["mass"]
    assert (values >= free).mean() > 0.5, "the best threshold marks most of the others"
    assert (entry["chosen_by"], entry["share_without"] <= 0.1) == ("dice", True)
    assert entry["dice"] < most
    gathered.absent["mass"] = _filled(values, MIN_IMAGES - 1)
    alone = fit_map_scale(gathered, _job())["thresholds"][FINDINGS.hash]["mass"]
    assert alone["threshold"] == pytest.approx(free, abs=1e-4), "too few images bound nothing"


def test_with_few_regions_images_without_the_finding_do() -> None:
    content = fit_map_scale(_gathered(MIN_IMAGES - 1, 40), _job())
    entry = content["thresholds"][FINDINGS.hash]["mass"]
    assert (entry["chosen_by"], entry["n"]) == ("images_without", 40)
    assert entry["share_without"] <= 0.01
    # The 99th percentile of a normal distribution.
    assert entry["threshold"] == pytest.approx(2.326 * 0.2, abs=0.05)


def test_with_neither_there_is_no_threshold_and_the_reason_is_told() -> None:
    content = fit_map_scale(_gathered(MIN_IMAGES - 1, MIN_IMAGES - 1), _job())
    assert content["thresholds"] == {FINDINGS.hash: {}}
    assert set(content["left_out"]) == {"mass", "rare"}
    assert content["left_out"]["mass"].startswith("19 cases with regions and 19 images without it")


def test_the_colours_of_differences_are_symmetric_around_zero() -> None:
    gathered = _gathered(0, 40)
    gathered.kinds["difference"] = _filled(np.random.default_rng(4).normal(-0.3, 0.1, 4000), 40)
    low, high = fit_map_scale(gathered, _job())["ranges"]["difference"]
    assert low == -high
    assert high == pytest.approx(0.3 + 2.576 * 0.1, abs=0.03)


def test_too_few_images_are_refused() -> None:
    gathered = Gathered({"difference": _filled(np.zeros(100), MIN_IMAGES - 1)})
    with pytest.raises(ManifestError, match="split valid: 19 images are too few"):
        fit_map_scale(gathered, _job(), "split valid")
