"""The published augmentation follows its authors' settings."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from tier_cli.training.inputs.augment_paper import augment_as_published, crop


def draw(image, seed, size=48):
    return augment_as_published(image, size, torch.Generator().manual_seed(seed))


def test_shape_range_and_seed():
    images = torch.rand(3, 1, 56, 56, generator=torch.Generator().manual_seed(0))
    out = draw(images, 1)
    assert out.shape == (3, 1, 48, 48)
    assert out.min() >= 0
    assert out.max() <= 1
    assert torch.equal(out, draw(images, 1))
    assert not torch.equal(out, draw(images, 2))


def test_crops_have_the_published_area_and_aspect():
    generator = torch.Generator().manual_seed(0)
    left, top, width, height = np.array([crop(generator) for _ in range(3000)]).T
    for start, length in ((left, width), (top, height)):
        assert (start >= 0).all()
        assert (start + length <= 1 + 1e-6).all()
    aspect, area = width / height, width * height
    assert aspect.min() >= 0.9 - 1e-6
    assert aspect.max() <= 1 + 1e-6
    # Up to 0.9 of the area every aspect fits, so nothing is drawn again and both are as they were drawn.
    small = area < 0.9
    assert stats.kstest(area[small], stats.uniform(0.08, 0.82).cdf).pvalue > 1e-3
    assert stats.kstest(aspect[small], stats.loguniform(0.9, 1).cdf).pvalue > 1e-3


def test_brightness_and_contrast_stay_within_a_fifth():
    grey = torch.full((1, 1, 64, 64), 0.5)
    middle = [draw(grey, seed)[0, 0, 20:28, 20:28].mean().item() for seed in range(200)]
    # Contrast moves towards or from a mean that black corners may lower by a little.
    assert 0.37 < min(middle) < 0.42
    assert 0.58 < max(middle) < 0.63


def test_places_are_neither_mirrored_nor_turned_far():
    ramp = torch.linspace(0.2, 0.8, 64).expand(64, 64)
    for name, image, axis in (("left to right", ramp, 1), ("top to bottom", ramp.T, 0)):
        for seed in range(40):
            inner = draw(image[None, None].clone(), seed)[0, 0, 10:38, 10:38]
            along, across = inner.diff(dim=axis).mean(), inner.diff(dim=1 - axis).mean()
            assert along > 0, name
            # tan(10 degrees), a crop of 0.9 times the width, and rounding.
            assert abs(across) < 0.22 * along
