"""Prepare a radiograph for an image tower by the checkpoint's specification, in training and in use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import CheckpointError
from tier_cli.imaging.radiograph import Rendering
from tier_cli.imaging.reduction import Extent, Grid, Least
from tier_cli.imaging.resample import Image, Interpolation, resize, resize_bytes

_FILE = "preprocessor_config.json"
# Of any side: four times that of any published model. A batch of eight such images fills 400 MB.
_LARGEST = 2048
# Smaller ones are mistakes: inputs would be in the tens of thousands.
_SMALLEST_STD = 1e-4
Fit = Literal["crop", "pad", "pad_first", "stretch"]
Rounding = Literal["round", "floor"]


@dataclass(frozen=True)
class Preprocessing:
    """The images that a checkpoint's tower was trained on: the content of ``preprocessor_config.json``.

    Parameters
    ----------
    rendering
        How DICOM values become grey levels; the reader applies it.
    resize_short
        Length of the short side after resizing, only for ``fit="crop"``; None means `crop`.
    crop
        Side of the square input in pixels.
    fit
        ``crop`` cuts out the centre of the resized image, ``pad`` fits the whole image in and pads with
        black, ``pad_first`` pads to a square of at least `crop` pixels before resizing (MedCLIP), ``stretch``
        ignores the aspect ratio.
    interpolation, antialias
        The filter; with `antialias` it widens when shrinking, as in Pillow and torchvision.
    mean, std
        Of the three (equal) input channels, for grey levels in [0, 1].
    eight_bit
        Reduce grey levels to 8 bits before and after resizing, as programs that work on 8-bit files do.
    rounding
        ``round`` margins (and sizes, with ``fit="pad"``) as torchvision does, or ``floor`` them.
    square
        Side of an intermediate square, which is normalised and then resampled to `crop`, bicubic without
        antialiasing (CheXzero); None for a single step.
    """

    rendering: Rendering = "voi"
    resize_short: int | None = 256
    crop: int = 224
    fit: Fit = "crop"
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    eight_bit: bool = False
    rounding: Rounding = "round"
    square: int | None = None

    def __post_init__(self) -> None:
        _choice("rendering", self.rendering, get_args(Rendering))
        _choice("fit", self.fit, get_args(Fit))
        _choice("interpolation", self.interpolation, get_args(Interpolation))
        if not _is_length(self.crop):
            raise _invalid("crop", self.crop, f"a whole number, 1 to {_LARGEST}")
        if self.resize_short is not None and not (self.fit == "crop" and _is_length(self.resize_short)):
            raise _invalid(
                "resize_short",
                self.resize_short,
                f"a whole number, 1 to {_LARGEST}, with fit crop, else null",
            )
        for name in ("antialias", "eight_bit"):
            if not isinstance(getattr(self, name), bool):
                raise _invalid(name, getattr(self, name), "true or false")
        _choice("rounding", self.rounding, get_args(Rounding))
        if self.square is not None and not _is_length(self.square):
            raise _invalid("square", self.square, f"a whole number, 1 to {_LARGEST}, or null")
        for name, low, high in (("mean", 0.0, 1.0), ("std", _SMALLEST_STD, 1.0)):
            object.__setattr__(self, name, _three_numbers(name, getattr(self, name), low, high))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = _FILE) -> Preprocessing:
        """Read the specification; an unknown or missing key or a senseless value raises `CheckpointError`."""
        known = {field.name for field in fields(cls)}
        missing = known - _LATER - set(data)
        for problem, names in (("unknown", set(data) - known), ("missing", missing)):
            if names:
                raise CheckpointError(
                    f"{problem} key {', '.join(sorted(map(str, names)))}",
                    where=where,
                    remedy=f"known keys are {', '.join(sorted(known))}",
                )
        try:
            return cls(**data)
        except CheckpointError as error:
            raise CheckpointError(error.what, where=where, remedy=error.remedy) from None

    def to_dict(self) -> dict[str, Any]:
        """Return the specification as JSON values, without later keys that have their default."""
        usual = {field.name: field.default for field in fields(self) if field.name in _LATER}
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if key not in usual or value != usual[key]
        }

    def at_size(self, side: int) -> Preprocessing:
        """Return the specification for a square input of another side, of the same part of the image."""
        short = None if self.resize_short is None else round(self.resize_short * side / self.crop)
        return replace(self, crop=side, resize_short=short)


# Keys that files of earlier releases lack. Omitted if they have their default, which keeps hashes the same.
_LATER = frozenset({"eight_bit", "rounding", "square"})


@dataclass(frozen=True)
class Prepared:
    """A tower's input and the way back to the radiograph.

    Parameters
    ----------
    pixels
        float32 (3, S, S), normalised.
    affine
        float64 (2, 3): ``affine @ (x, y, 1)`` of an input pixel is (x, y) in the radiograph. Whole numbers
        are pixel centres; x counts columns.
    """

    pixels: NDArray[np.float32]
    affine: NDArray[np.float64]


class _Geometry(NamedTuple):
    """The resized size (height, width) and the position of the square's top left corner in it."""

    height: int
    width: int
    top: int
    left: int


def prepare(pixels: Image | Grid, spec: Preprocessing, extent: Extent | None = None) -> Prepared:
    """Convert a radiograph's pixels (H, W) in [0, 1] to the tower's input, with the affine back.

    Parameters
    ----------
    pixels, spec
        The radiograph, and how to prepare it. Of a `Grid`, not all pixels are in memory at the same time.
    extent
        Where the radiograph lies in the pixels if they show it smaller, see `least_of`; None if they do not.
    """
    return prepare_shifted(pixels, spec, [(0, 0)], extent)[0]


def prepare_shifted(
    pixels: Image | Grid,
    spec: Preprocessing,
    shifts: Sequence[tuple[int, int]],
    extent: Extent | None = None,
) -> list[Prepared]:
    """Convert a radiograph's pixels (H, W) in [0, 1] to several inputs that lie side by side in the image.

    Parameters
    ----------
    pixels, spec
        As for `prepare`.
    shifts
        How far each input lies below and to the right of the usual one, in pixels of the input. What lies
        outside the image is black.
    extent
        As for `prepare`.
    """
    small = extent is not None
    if isinstance(pixels, Grid) and (spec.fit == "pad_first" or not spec.antialias):
        pixels = pixels.levels()
    pixels, extent, top, left = _padded(
        pixels, spec, extent or Extent.whole(pixels.shape[0], pixels.shape[1])
    )
    usual = _geometry(extent.height, extent.width, spec)
    resized, made = _resized(pixels, spec, usual, extent if small else None), []
    for down, right in shifts:
        zoom = (spec.square or spec.crop) / spec.crop
        place = usual._replace(top=usual.top + round(down * zoom), left=usual.left + round(right * zoom))
        affine = _affine((extent.height, extent.width), spec, place, (top, left))
        made.append(Prepared(normalise(_cut(resized, spec, place), spec), affine))
    return made


def least_of(specs: Sequence[Preprocessing]) -> Least | None:
    """Return the size to which images prepared in these ways are resized; None if all pixels are needed.

    An image that is sampled without antialiasing has to be there in full, and so has one that is prepared
    from grey levels of 8 bits and of more.
    """
    if not all(spec.antialias for spec in specs) or len({spec.eight_bit for spec in specs}) != 1:
        return None
    short = long = 0
    for spec in specs:
        side = spec.square or spec.crop
        if spec.fit in ("pad", "pad_first"):
            long = max(long, side)
        else:
            short = max(short, spec.resize_short or side)
    return Least(short, long, specs[0].eight_bit)


def _affine(
    size: tuple[int, int], spec: Preprocessing, place: _Geometry, padding: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the affine (2, 3) of an input; of `size`, `padding` lies above and left of the radiograph."""
    top, left = padding
    step_y, step_x = size[0] / place.height, size[1] / place.width
    # Pixels of the intermediate square per pixel of the input.
    zoom = (spec.square or spec.crop) / spec.crop
    return np.array(
        [
            [step_x * zoom, 0.0, (place.left + 0.5 * zoom) * step_x - 0.5 - left],
            [0.0, step_y * zoom, (place.top + 0.5 * zoom) * step_y - 0.5 - top],
        ]
    )


def to_source(
    affine: NDArray[np.float64], size: tuple[int, int], source: tuple[int, int]
) -> NDArray[np.float64]:
    """Lead an affine (2, 3) on from a radiograph of `size` to its file of `source` (height, width).

    Examples
    --------
    A radiograph that was stretched to twice the width of its file:

    >>> to_source(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), (4, 8), (4, 4)).tolist()
    [[0.5, 0.0, -0.25], [0.0, 1.0, 0.0]]
    """
    scale = np.array([source[1] / size[1], source[0] / size[0]])
    result: NDArray[np.float64] = affine * scale[:, None]
    result[:, 2] += 0.5 * scale - 0.5
    return result


def grey(pixels: Image, spec: Preprocessing) -> Image:
    """Resize, crop or pad the pixels (H, W) to grey levels (S, S) in [0, 1], before mean and std."""
    padded = _padded(pixels, spec, Extent.whole(*pixels.shape))[0]
    place = _geometry(padded.shape[0], padded.shape[1], spec)
    levels = _cut(_resized(padded, spec, place), spec, place)
    return np.clip(levels, 0.0, 1.0, out=levels)


def _resized(
    pixels: Image | Grid, spec: Preprocessing, place: _Geometry, extent: Extent | None = None
) -> Image:
    height, width = place.height, place.width
    if isinstance(pixels, Grid):
        return pixels.resized(height, width, spec.interpolation, eight_bit=spec.eight_bit)
    if extent is None:
        resampled = resize_bytes if spec.eight_bit else resize
        return resampled(pixels, height, width, spec.interpolation, antialias=spec.antialias)
    levels = resize(pixels, height, width, spec.interpolation, box=extent.box)
    # The pixels were made of levels that were truncated to 8 bits already.
    return np.rint(levels.clip(0, 1) * np.float32(255)) * np.float32(1 / 255) if spec.eight_bit else levels


def _cut(resized: Image, spec: Preprocessing, place: _Geometry) -> Image:
    """Cut out the input; a second resampling may leave [0, 1]: nothing clips a normalised tensor."""
    side = spec.square or spec.crop
    square = np.zeros((side, side), np.float32)
    rows, rows_from = _overlap(place.top, place.height, side)
    columns, columns_from = _overlap(place.left, place.width, side)
    # The wider filters overshoot at edges; an 8-bit pipeline would clip that.
    np.clip(resized[rows_from, columns_from], 0.0, 1.0, out=square[rows, columns])
    if side == spec.crop:
        return square
    # CheXzero resamples after normalising. The result is the same: the filter's weights add up to 1.
    return resize(square, spec.crop, spec.crop, "bicubic", antialias=False)


def normalise(square: Image, spec: Preprocessing) -> Image:
    """Normalise grey levels (..., S, S) to three channels (..., 3, S, S) by mean and std."""
    mean = np.asarray(spec.mean, np.float32)[:, None, None]
    std = np.asarray(spec.std, np.float32)[:, None, None]
    return (square[..., None, :, :] - mean) / std


def _padded(
    pixels: Image | Grid, spec: Preprocessing, extent: Extent
) -> tuple[Image | Grid, Extent, int, int]:
    """Return the pixels that are resized, and the rows above and the columns left of the radiograph.

    The extent returned with the pixels is that of the radiograph with these rows and columns.
    """
    if spec.fit != "pad_first" or isinstance(pixels, Grid):
        return pixels, extent, 0, 0
    height, width = extent.height, extent.width
    side = max(spec.crop, height, width)
    top, left = (side - height) // 2, (side - width) // 2
    down, across = (extent.bottom - extent.top) / height, (extent.right - extent.left) / width
    # Whole rows and columns; where the square begins and ends, one may be cut.
    above, before = max(0, math.ceil(top * down)), max(0, math.ceil(left * across))
    y, x = above + extent.top - top * down, before + extent.left - left * across
    placed = Extent(side, side, y, x, y + side * down, x + side * across)
    rows, columns = above + pixels.shape[0], before + pixels.shape[1]
    square = np.zeros(
        (max(rows, math.ceil(placed.bottom)), max(columns, math.ceil(placed.right))), np.float32
    )
    square[above:rows, before:columns] = pixels
    # Pixels at the edges may show the image only in part; the rest of them is black.
    if height < side:
        square[above:rows] *= _covered(pixels.shape[0], extent.top, extent.bottom)[:, None]
    if width < side:
        square[:, before:columns] *= _covered(pixels.shape[1], extent.left, extent.right)
    return square, placed, top, left


def _covered(length: int, start: float, end: float) -> Image:
    """Return which share of each of the pixels lies between two positions."""
    pixels = np.arange(length)
    return (np.minimum(pixels + 1, end) - np.maximum(pixels, start)).astype(np.float32)


def _geometry(height: int, width: int, spec: Preprocessing) -> _Geometry:
    side = spec.square or spec.crop
    if spec.fit in ("stretch", "pad_first"):
        return _Geometry(side, side, 0, 0)
    half = round if spec.rounding == "round" else math.floor
    if spec.fit == "pad":
        longest = max(height, width)
        if spec.rounding == "round":
            new_height, new_width = round(height * side / longest), round(width * side / longest)
        else:
            # Through the ratio, whose rounding can shorten the long side by a pixel, as in CheXzero.
            new_height, new_width = int(height * (side / longest)), int(width * (side / longest))
        new_height, new_width = max(1, new_height), max(1, new_width)
        # The margin, which lies outside the image, is rounded.
        return _Geometry(new_height, new_width, -half((side - new_height) / 2), -half((side - new_width) / 2))
    # Truncated here and rounded below, as torchvision's Resize and CenterCrop do.
    short, target = min(height, width), spec.resize_short or side
    new_height, new_width = height * target // short, width * target // short
    return _Geometry(new_height, new_width, half((new_height - side) / 2), half((new_width - side) / 2))


def _overlap(start: int, length: int, size: int) -> tuple[slice, slice]:
    """Return where `size` pixels from `start` overlap `length`: as slices of the square and of the image."""
    first, last = max(start, 0), min(start + size, length)
    return slice(first - start, last - start), slice(first, last)


def _invalid(name: str, value: object, wanted: str) -> CheckpointError:
    shown = repr(value)
    return CheckpointError(
        f"{name} is {shown if len(shown) <= 60 else f'{shown[:57]}...'}",
        where=_FILE,
        remedy=f"it must be {wanted}",
    )


def _choice(name: str, value: object, known: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in known:
        raise _invalid(name, value, f"one of {', '.join(known)}")


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _three_numbers(name: str, value: object, low: float, high: float) -> tuple[float, float, float]:
    wanted = f"three numbers from {low:g} to {high:g}"
    if not isinstance(value, list | tuple) or not all(map(_is_number, value)):
        raise _invalid(name, value, wanted)
    # Comparisons with NaN are false.
    if len(value) != 3 or not all(low <= number <= high for number in value):
        raise _invalid(name, value, wanted)
    first, second, third = map(float, value)
    return first, second, third
