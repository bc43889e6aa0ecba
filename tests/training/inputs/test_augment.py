"""Augmentation changes images a little and by the seed alone."""

from __future__ import annotations

import torch

from tier_cli.training.inputs.augment import augment


def draw(image, seed, size=48):
    return augment(image, size, torch.Generator().manual_seed(seed))


def test_shape_range_and_seed():
    images = torch.rand(5, 1, 56, 56, generator=torch.Generator().manual_seed(0))
    out = draw(images, 1)
    assert out.shape == (5, 1, 48, 48)
    assert out.min() >= 0
    assert out.max() <= 1
    assert torch.equal(out, draw(images, 1))
    assert not torch.equal(out, draw(images, 2))


def test_the_heart_stays_on_its_side():
    image = torch.zeros(1, 1, 64, 64)
    image[..., 20:44, 40:56] = 0.8
    for seed in range(40):
        out = draw(image, seed)
        assert out[..., 24:].mean() > out[..., :24].mean(), "a mirrored chest would be another finding"
