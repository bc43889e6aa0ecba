"""Corrupt radiographs in measured amounts, to test the robustness of a model's scores.

Every corruption acts in display space, on the image as a person would see it, before preprocessing.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import UsageError, did_you_mean

Image = NDArray[np.float32]

# The finest grain of noise: without it, resizing an image of 2,000 pixels would average the noise away.
_GRAIN = 512

LEVELS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "noise": (0.05, 0.1, 0.2),
        "blur": (2, 5, 10),
        "contrast": (0.75, 0.5, 1.5),
        "rotation": (5, 10, 20),
        "jpeg": (50, 25, 10),
        "crop": (0.9, 0.8, 0.7),
        "inversion": (1,),
    }
)
MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "noise": "standard deviation of Gaussian noise as a share of the grey range, "
        f"with a grain of 1/{_GRAIN} of the short side",
        "blur": "standard deviation of a Gaussian in thousandths of the short side",
        "contrast": "factor on the distance from the image's mean grey",
        "rotation": "degrees about the centre, in a direction drawn for each image, filled with black",
        "jpeg": "JPEG quality",
        "crop": "share of height and width kept around the centre",
        "inversion": "black and white swapped",
    }
)


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption at one level.

    Parameters
    ----------
    kind
        A key of `LEVELS`.
    level
        The strength; `MEANINGS` defines it for each kind.
    """

    kind: str
    level: float

    def __post_init__(self) -> None:
        if self.kind not in LEVELS:
            raise UsageError(
                f"unknown corruption {self.kind!r}{did_you_mean(self.kind, ('all', *LEVELS))}",
                where="--corrupt",
                remedy=f"choose from all, {', '.join(LEVELS)}",
            )


def corruptions(kinds: Sequence[str]) -> tuple[Corruption, ...]:
    """Return every level of the given kinds, each kind once; ``all`` stands for every kind.

    Raises
    ------
    UsageError
        If a kind is unknown.
    """
    wanted = dict.fromkeys(LEVELS if "all" in kinds else kinds)
    return tuple(Corruption(kind, level) for kind in wanted for level in LEVELS.get(kind, (0,)))


def content_seed(pixels: Image) -> int:
    """Return a seed that depends only on the pixels: an image is corrupted in the same way everywhere."""
    digest = hashlib.blake2b(np.ascontiguousarray(pixels).data.cast("B"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def corrupt(pixels: Image, corruption: Corruption, seed: Sequence[int]) -> Image:
    """Corrupt an image.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1]; not modified.
    corruption
        Kind and level.
    seed
        With the kind, determines all random draws; all levels of a kind share them.

    Returns
    -------
    float32 in [0, 1], of the same shape; smaller for ``crop``.
    """
    rng = np.random.default_rng([*seed, zlib.crc32(corruption.kind.encode("ascii"))])
    damaged = _KINDS[corruption.kind](pixels, corruption.level, rng)
    return np.asarray(np.clip(damaged, 0.0, 1.0), np.float32)


def _noise(pixels: Image, level: float, rng: np.random.Generator) -> Image:
    places = [_grains(length, min(pixels.shape)) for length in pixels.shape]
    field = rng.standard_normal([int(place[-1]) + 1 for place in places], dtype=np.float32)
    return pixels + np.float32(level) * field[np.ix_(*places)]


def _grains(length: int, short: int) -> NDArray[np.int64]:
    """Return the grain that each pixel of a side belongs to."""
    scale = min(1.0, _GRAIN / short)
    return (np.arange(length) * scale).astype(np.int64)


def _blur(pixels: Image, level: float, rng: np.random.Generator) -> Image:
    sigma = level / 1000 * min(pixels.shape)
    return _smooth(_smooth(pixels, sigma).T, sigma).T


def _smooth(pixels: Image, sigma: float) -> Image:
    """Smooth along the last axis with a Gaussian, with mirrored ends."""
    length = pixels.shape[1]
    pad = min(int(4 * sigma) + 1, length - 1)
    wide = np.pad(pixels, ((0, 0), (pad, pad)), mode="reflect")
    response = np.exp(-2 * (np.pi * sigma * np.fft.rfftfreq(wide.shape[1])) ** 2).astype(np.float32)
    soft = np.fft.irfft(np.fft.rfft(wide, axis=1) * response, n=wide.shape[1], axis=1)
    return np.asarray(soft[:, pad : pad + length], np.float32)


def _contrast(pixels: Image, level: float, rng: np.random.Generator) -> Image:
    mean = np.float32(pixels.mean(dtype=np.float64))
    return mean + np.float32(level) * (pixels - mean)


def _rotation(pixels: Image, level: float, rng: np.random.Generator) -> Image:
    from PIL import Image as PillowImage

    angle = level * (1 if rng.random() < 0.5 else -1)
    picture = PillowImage.fromarray(np.ascontiguousarray(pixels, np.float32))
    return np.asarray(picture.rotate(angle, PillowImage.Resampling.BILINEAR), np.float32)


def _jpeg(pixels: Image, level: float, rng: np.random.Generator) -> Image:
    from PIL import Image as PillowImage

    file = io.BytesIO()
    PillowImage.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(file, "JPEG", quality=int(level))
    with PillowImage.open(file, formats=("JPEG",)) as picture:
        return np.asarray(picture, np.float32) / np.float32(255)


def _crop(pixels: Image, level: float, rng: np.random.Generator) -> Image:
    height, width = (max(1, round(length * level)) for length in pixels.shape)
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def _inversion(pixels: Image, level: float, rng: np.random.Generator) -> Image:
    return np.float32(1) - pixels


_KINDS: Mapping[str, Callable[[Image, float, np.random.Generator], Image]] = MappingProxyType(
    {
        "noise": _noise,
        "blur": _blur,
        "contrast": _contrast,
        "rotation": _rotation,
        "jpeg": _jpeg,
        "crop": _crop,
        "inversion": _inversion,
    }
)
