"""Corruptions match their level, are repeatable, and leave the image itself unchanged."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tier_cli.errors import UsageError
from tier_cli.imaging.corrupt import LEVELS, MEANINGS, Corruption, content_seed, corrupt, corruptions
from tier_cli.imaging.preprocess import Preprocessing, grey

SEED = (0, 7)


@pytest.fixture
def pixels() -> NDArray[np.float32]:
    """A smooth picture, 120 x 90, well inside [0, 1]."""
    rows, columns = np.mgrid[0:120, 0:90]
    return np.asarray(0.5 + 0.3 * np.sin(rows / 9) * np.cos(columns / 7), np.float32)


@pytest.mark.parametrize("one", corruptions(["all"]), ids=str)
def test_corruption_is_repeatable_and_leaves_the_original_unchanged(
    pixels: NDArray[np.float32], one: Corruption
) -> None:
    before = pixels.copy()
    damaged = corrupt(pixels, one, SEED)
    assert damaged.dtype == np.float32
    assert damaged.min() >= 0
    assert damaged.max() <= 1
    assert damaged.shape == pixels.shape or one.kind == "crop"
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(damaged, corrupt(pixels.copy(), one, SEED))
    if damaged.shape == pixels.shape:
        assert np.abs(damaged - pixels).max() > 1e-3


def test_every_kind_explains_its_levels() -> None:
    assert set(MEANINGS) == set(LEVELS)
    assert len(corruptions(["all"])) == sum(map(len, LEVELS.values()))
    assert corruptions(["jpeg", "jpeg"]) == tuple(Corruption("jpeg", level) for level in LEVELS["jpeg"])
    with pytest.raises(UsageError, match="smoke"):
        corruptions(["noise", "smoke"])


@pytest.mark.parametrize("shape", [(400, 300), (2048, 1024)])
def test_noise_has_the_same_strength_after_resizing_whatever_the_size(shape: tuple[int, int]) -> None:
    flat = np.full(shape, 0.5, np.float32)
    noisy = corrupt(flat, Corruption("noise", 0.1), SEED)
    assert noisy.std() == pytest.approx(0.1, rel=0.05)
    small = grey(noisy, Preprocessing(resize_short=None, crop=128))
    # 512 grains a side become 128 pixels; 300 pixels a side are averaged less.
    assert small.std() == pytest.approx(0.1 * 128 / min(512, shape[1]) * 0.8, rel=0.2)


def test_levels_of_noise_share_their_draw_and_images_do_not(pixels: NDArray[np.float32]) -> None:
    weak, strong = (corrupt(pixels, Corruption("noise", level), SEED) - pixels for level in (0.01, 0.02))
    np.testing.assert_allclose(2 * weak, strong, atol=1e-6)
    other = corrupt(pixels, Corruption("noise", 0.01), (0, 8)) - pixels
    assert abs(np.corrcoef(weak.ravel(), other.ravel())[0, 1]) < 0.1


def test_blur_is_a_gaussian_of_the_stated_width(pixels: NDArray[np.float32]) -> None:
    damaged = corrupt(pixels, Corruption("blur", 20), SEED)
    np.testing.assert_allclose(damaged, gaussian_filter(pixels, 1.8, mode="mirror", truncate=6), atol=2e-4)


def test_contrast_scales_the_distance_from_the_mean(pixels: NDArray[np.float32]) -> None:
    damaged = corrupt(pixels, Corruption("contrast", 0.5), SEED)
    assert damaged.mean() == pytest.approx(pixels.mean(), abs=1e-6)
    assert damaged.std() == pytest.approx(pixels.std() / 2, abs=1e-6)


def test_rotation_turns_by_the_angle_to_both_sides() -> None:
    spot = np.zeros((101, 101), np.float32)
    spot[48:53, 88:93] = 1  # 40 pixels right of the centre
    places = set()
    for seed in range(8):
        row, column = np.argwhere(corrupt(spot, Corruption("rotation", 20), (0, seed)) > 0.5).mean(axis=0)
        assert np.degrees(np.arctan2(abs(50 - row), column - 50)) == pytest.approx(20, abs=1)
        places.add(row < 50)
    assert places == {True, False}


def test_jpeg_loses_more_at_lower_quality(pixels: NDArray[np.float32]) -> None:
    losses = [np.abs(corrupt(pixels, Corruption("jpeg", q), SEED) - pixels).mean() for q in LEVELS["jpeg"]]
    assert losses == sorted(losses)
    assert losses[0] < 0.02


def test_crop_keeps_the_centre_and_inversion_swaps_black_and_white(pixels: NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(corrupt(pixels, Corruption("crop", 0.8), SEED), pixels[12:108, 9:81])
    np.testing.assert_allclose(corrupt(pixels, Corruption("inversion", 1), SEED), 1 - pixels)


def test_the_seed_depends_on_the_pixels(pixels: NDArray[np.float32]) -> None:
    assert content_seed(pixels) == content_seed(pixels[::1, ::1].copy()) == content_seed(pixels.T.copy().T)
    assert content_seed(pixels) != content_seed(1 - pixels)
