"""From a radiograph to a tower's input by the checkpoint's specification, in training and in use alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import CheckpointError
from tier_cli.imaging.radiograph import Rendering

Fit = Literal["crop", "pad", "stretch"]
Interpolation = Literal["bilinear", "bicubic", "lanczos"]
Image = NDArray[np.float32]


@dataclass(frozen=True)
class Preprocessing:
    """What a checkpoint's image tower was trained on: the content of ``preprocessor_config.json``.

    Parameters
    ----------
    rendering
        How DICOM values become grey levels; the reader carries it out.
    resize_short
        Length of the short side after resizing, for ``fit="crop"`` only; None means `crop`.
    crop
        Side of the square input in pixels.
    fit
        ``crop`` cuts the centre out of the resized image, ``pad`` fits the whole image in and fills with
        black, ``stretch`` ignores the aspect ratio.
    interpolation, antialias
        The filter; with `antialias` it widens when shrinking, as Pillow's and torchvision's do.
    mean, std
        Of the three (equal) input channels, for grey levels in [0, 1].
    """

    rendering: Rendering = "voi"
    resize_short: int | None = 256
    crop: int = 224
    fit: Fit = "crop"
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        _choice("rendering", self.rendering, get_args(Rendering))
        _choice("fit", self.fit, get_args(Fit))
        _choice("interpolation", self.interpolation, get_args(Interpolation))
        if not _is_length(self.crop):
            raise _invalid("crop", self.crop, "a positive whole number")
        if self.resize_short is not None and not (self.fit == "crop" and _is_length(self.resize_short)):
            raise _invalid(
                "resize_short", self.resize_short, "a positive whole number with fit crop, else null"
            )
        if not isinstance(self.antialias, bool):
            raise _invalid("antialias", self.antialias, "true or false")
        for name, low in (("mean", -np.inf), ("std", 0.0)):
            object.__setattr__(self, name, _three_numbers(name, getattr(self, name), low))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocessing:
        """Read the specification; an unknown or a missing key raises `CheckpointError`."""
        known = {field.name for field in fields(cls)}
        for problem, names in (("unknown", set(data) - known), ("missing", known - set(data))):
            if names:
                raise CheckpointError(
                    f"{problem} key {', '.join(sorted(map(str, names)))}",
                    where="preprocessor_config.json",
                    remedy=f"the keys are {', '.join(sorted(known))}",
                )
        return cls(**data)

    def to_dict(self) -> dict[str, Any]:
        """Give the specification as plain JSON values."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Prepared:
    """A tower's input and the way back.

    Parameters
    ----------
    pixels
        float32 (3, S, S), normalised.
    affine
        float64 (2, 3): ``affine @ (x, y, 1)`` of an input pixel gives (x, y) in the radiograph. Whole numbers
        are pixel centres, x counts columns.
    """

    pixels: NDArray[np.float32]
    affine: NDArray[np.float64]


class _Geometry(NamedTuple):
    """The resized size (height, width) and where the square's top left corner lies in it."""

    height: int
    width: int
    top: int
    left: int


def prepare(pixels: Image, spec: Preprocessing) -> Prepared:
    """Turn a radiograph's pixels (H, W) in [0, 1] into the tower's input and its affine back."""
    place = _geometry(pixels.shape[0], pixels.shape[1], spec)
    step_y, step_x = pixels.shape[0] / place.height, pixels.shape[1] / place.width
    affine = np.array(
        [
            [step_x, 0.0, (place.left + 0.5) * step_x - 0.5],
            [0.0, step_y, (place.top + 0.5) * step_y - 0.5],
        ]
    )
    return Prepared(normalise(grey(pixels, spec), spec), affine)


def grey(pixels: Image, spec: Preprocessing) -> Image:
    """Resize, crop or pad the pixels (H, W) to grey levels (S, S) in [0, 1], before mean and std."""
    place = _geometry(pixels.shape[0], pixels.shape[1], spec)
    resized = resize(pixels, place.height, place.width, spec.interpolation, antialias=spec.antialias)
    square = np.zeros((spec.crop, spec.crop), np.float32)
    rows, rows_from = _overlap(place.top, place.height, spec.crop)
    columns, columns_from = _overlap(place.left, place.width, spec.crop)
    # The wider filters overshoot at edges, which no 8-bit pipeline would let through.
    np.clip(resized[rows_from, columns_from], 0.0, 1.0, out=square[rows, columns])
    return square


def normalise(square: Image, spec: Preprocessing) -> Image:
    """Give grey levels (..., S, S) as three channels (..., 3, S, S) with the specification's mean and std."""
    mean = np.asarray(spec.mean, np.float32)[:, None, None]
    std = np.asarray(spec.std, np.float32)[:, None, None]
    return (square[..., None, :, :] - mean) / std


def resize(
    pixels: Image, height: int, width: int, interpolation: Interpolation, *, antialias: bool = True
) -> Image:
    """Resample the pixels (H, W) to (height, width)."""
    if pixels.shape == (height, width):
        return np.asarray(pixels, np.float32)
    if not antialias:
        return _sample(_sample(pixels, height, interpolation).T, width, interpolation).T
    from PIL import Image as PillowImage

    filters = PillowImage.Resampling
    chosen = {"bilinear": filters.BILINEAR, "bicubic": filters.BICUBIC, "lanczos": filters.LANCZOS}
    source = PillowImage.fromarray(np.ascontiguousarray(pixels, np.float32))
    return np.asarray(source.resize((width, height), chosen[interpolation]), np.float32)


def _geometry(height: int, width: int, spec: Preprocessing) -> _Geometry:
    if spec.fit == "stretch":
        return _Geometry(spec.crop, spec.crop, 0, 0)
    if spec.fit == "pad":
        longest = max(height, width)
        new_height = max(1, round(height * spec.crop / longest))
        new_width = max(1, round(width * spec.crop / longest))
    else:
        # Truncated here and rounded below as torchvision's Resize and CenterCrop do.
        short, target = min(height, width), spec.resize_short or spec.crop
        new_height, new_width = height * target // short, width * target // short
    top, left = round((new_height - spec.crop) / 2), round((new_width - spec.crop) / 2)
    return _Geometry(new_height, new_width, top, left)


def _overlap(start: int, length: int, size: int) -> tuple[slice, slice]:
    """Where `size` pixels that begin at `start` meet an image of `length`: in the square, in the image."""
    first, last = max(start, 0), min(start + size, length)
    return slice(first - start, last - start), slice(first, last)


def _sample(pixels: Image, size: int, interpolation: Interpolation) -> Image:
    """Resample the first axis to `size` with a filter that never widens, as torch's ``interpolate`` does."""
    kernel, support = _KERNELS[interpolation]
    centres = (np.arange(size) + 0.5) * (pixels.shape[0] / size) - 0.5
    taps = np.floor(centres).astype(int)[:, None] + np.arange(1 - support, support + 1)
    weights = kernel(np.abs(taps - centres[:, None]))
    weights /= weights.sum(axis=1, keepdims=True)
    taps = taps.clip(0, pixels.shape[0] - 1)
    result = np.zeros((size, pixels.shape[1]), np.float32)
    for tap, weight in zip(taps.T, weights.T.astype(np.float32), strict=True):
        result += pixels[tap] * weight[:, None]
    return result


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(0.0, 1.0 - x)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    a = -0.75  # torch's and OpenCV's; Pillow's is -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


_KERNELS: dict[str, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], int]] = {
    "bilinear": (_triangle, 1),
    "bicubic": (_cubic, 2),
    "lanczos": (_lanczos, 3),
}


def _invalid(name: str, value: object, wanted: str) -> CheckpointError:
    return CheckpointError(
        f"{name} is {value!r}", where="preprocessor_config.json", remedy=f"it must be {wanted}"
    )


def _choice(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise _invalid(name, value, f"one of {', '.join(known)}")


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _three_numbers(name: str, value: object, low: float) -> tuple[float, float, float]:
    try:
        first, second, third = (float(number) for number in value)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise _invalid(name, value, "three numbers") from None
    if not all(np.isfinite(number) and number > low for number in (first, second, third)):
        raise _invalid(name, value, "three finite numbers, for std above 0")
    return first, second, third
