"""Augment training images at random without touching their findings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Generator, Tensor

_ROTATION_DEGREES = 8.0
_SCALES = (0.78, 1.02)
_SHIFT = 0.06
_STRETCH = 0.08
_GAMMA = 0.3
_CONTRAST = 0.25
_BLUR_SHARE = 0.4
_SMALLEST_SHARE = 0.3
_NOISE = 0.02


def augment(grey: Tensor, size: int, generator: Generator) -> Tensor:
    """Augment each image of a batch with its own random draw.

    Rotation, zoom, shift, aspect, gamma, contrast, noise and, for some images, a temporary reduction to fewer
    pixels: data sets come at different resolutions, and resolution must not separate one label from another.
    Images are never mirrored: that would put the heart on the wrong side.

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
    n = len(grey)
    grids = functional.affine_grid(_matrices(n, generator), [n, 1, size, size], align_corners=False)
    squares = functional.grid_sample(grey, grids, mode="bilinear", padding_mode="zeros", align_corners=False)
    squares = torch.stack([_reduce_detail(image, generator) for image in squares])
    gamma = torch.exp(uniform(n, -_GAMMA, _GAMMA, generator))
    contrast = torch.exp(uniform(n, -_CONTRAST, _CONTRAST, generator))
    shift = uniform(n, -0.1, 0.1, generator)
    squares = squares.clamp(0, 1) ** gamma.view(-1, 1, 1, 1)
    squares = (squares - 0.5) * contrast.view(-1, 1, 1, 1) + 0.5 + shift.view(-1, 1, 1, 1)
    noise = torch.randn(squares.shape, generator=generator) * uniform(n, 0, _NOISE, generator).view(
        -1, 1, 1, 1
    )
    return (squares + noise).clamp(0, 1)


def warps(generator: Generator) -> tuple[Tensor, ...]:
    """Return where `augment` takes the places of one image from: matrices (1, 2, 3) for one after the other.

    The generator has to be in the state in which `augment` gets it. Coordinates are those of `grid_sample`,
    from -1 to 1.
    """
    return (_matrices(1, generator),)


def _matrices(n: int, generator: Generator) -> Tensor:
    angle = uniform(n, -_ROTATION_DEGREES, _ROTATION_DEGREES, generator) * math.pi / 180
    scale = uniform(n, *_SCALES, generator)
    stretch = torch.exp(uniform(n, -_STRETCH, _STRETCH, generator))
    x_scale, y_scale = scale * stretch.sqrt(), scale / stretch.sqrt()
    rows = (
        torch.stack(
            [angle.cos() * x_scale, -angle.sin() * y_scale, uniform(n, -_SHIFT, _SHIFT, generator)], 1
        ),
        torch.stack(
            [angle.sin() * x_scale, angle.cos() * y_scale, uniform(n, -_SHIFT, _SHIFT, generator)], 1
        ),
    )
    return torch.stack(rows, 1)


def _reduce_detail(image: Tensor, generator: Generator) -> Tensor:
    if torch.rand((), generator=generator) > _BLUR_SHARE:
        return image
    size = image.shape[-1]
    smaller = int(size * uniform(1, _SMALLEST_SHARE, 0.9, generator).item())
    small = functional.interpolate(image[None], (smaller, smaller), mode="bilinear", antialias=True)
    return functional.interpolate(small, (size, size), mode="bilinear")[0]


def uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    """Draw n numbers uniformly between low and high, (n,)."""
    return torch.rand(n, generator=generator) * (high - low) + low
