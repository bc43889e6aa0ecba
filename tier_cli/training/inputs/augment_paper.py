"""Augment training images as the authors of the TIER paper published it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from tier_cli.training.inputs.augment import uniform

if TYPE_CHECKING:
    from torch import Generator, Tensor

_AREA = (0.08, 1.0)
_ASPECT = (0.9, 1.0)
_TRIES = 10
_ROTATION_DEGREES = 10.0
_SHIFT = 0.05
_SCALES = (0.95, 1.05)
_JITTER = 0.2


def augment_as_published(grey: Tensor, size: int, generator: Generator) -> Tensor:
    """Crop, rotate, shift and jitter each image of a batch with its own random draw.

    First a crop of 8 to 100 % of the area with a width-to-height ratio of 0.9 to 1; then up to 10 degrees of
    rotation, 5 % of shift and 5 % of zoom, filled with black; then brightness and contrast by up to a fifth,
    in random order (Palepu & Beam 2023, `im_preprocessing_train` in their code). The crop is taken from the
    largest square of the image.

    Parameters
    ----------
    grey
        (N, 1, H, W) in [0, 1].
    size
        Side of the square output.
    generator
        Source of every draw.

    Returns
    -------
    Tensor
        (N, 1, size, size) in [0, 1].
    """
    return torch.stack([_augment(image[None], size, generator)[0] for image in grey])


def warps_as_published(generator: Generator) -> tuple[Tensor, ...]:
    """Return where `augment_as_published` takes the places of one image from; see `augment.warps`.

    First the crop and then the rotation: what lies outside the crop is black after it.
    """
    left, top, width, height = crop(generator)
    crop_matrix = [[width, 0, 2 * left + width - 1], [0, height, 2 * top + height - 1]]
    angle = _draw(-_ROTATION_DEGREES, _ROTATION_DEGREES, generator) * math.pi / 180
    # Sampling coordinates work in reverse: to enlarge the image, sample a smaller part of it.
    cos, sin = (f(angle) / _draw(*_SCALES, generator) for f in (math.cos, math.sin))
    x, y = (2 * _draw(-_SHIFT, _SHIFT, generator) for _ in range(2))
    return tuple(
        torch.tensor([matrix], dtype=torch.float32)
        for matrix in (crop_matrix, [[cos, -sin, x], [sin, cos, y]])
    )


def _augment(image: Tensor, size: int, generator: Generator) -> Tensor:
    for matrix in warps_as_published(generator):
        grid = functional.affine_grid(matrix, [1, 1, size, size], align_corners=False)
        image = functional.grid_sample(image, grid, padding_mode="zeros", align_corners=False)
    brightness, contrast = (_draw(1 - _JITTER, 1 + _JITTER, generator) for _ in range(2))
    first = bool(torch.rand((), generator=generator) < 0.5)
    for kind in ("brightness", "contrast") if first else ("contrast", "brightness"):
        if kind == "brightness":
            image = image * brightness
        else:
            image = image.mean() + (image - image.mean()) * contrast
        image = image.clamp(0, 1)
    return image


def crop(generator: Generator) -> tuple[float, float, float, float]:
    """Draw left, top, width and height of a random crop from a square of side 1."""
    for _ in range(_TRIES):
        area = _draw(*_AREA, generator)
        aspect = math.exp(_draw(math.log(_ASPECT[0]), math.log(_ASPECT[1]), generator))
        width, height = math.sqrt(area * aspect), math.sqrt(area / aspect)
        if height <= 1:
            return _draw(0, 1 - width, generator), _draw(0, 1 - height, generator), width, height
    return 0, 0, 1, 1


def _draw(low: float, high: float, generator: Generator) -> float:
    return uniform(1, low, high, generator).item()
