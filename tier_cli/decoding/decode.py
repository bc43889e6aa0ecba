"""Read and prepare one file for the model; runs in the decoding processes, so it imports only imaging."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.errors import InputError
from tier_cli.imaging.corrupt import Corruption, content_seed, corrupt
from tier_cli.imaging.guard import out_of_memory
from tier_cli.imaging.orientation import UPRIGHT, Orientation
from tier_cli.imaging.preprocess import Preprocessing, least_of, prepare, prepare_shifted, to_source
from tier_cli.imaging.radiograph import Radiograph, ReadOptions, Rendering
from tier_cli.imaging.read import read_radiograph
from tier_cli.imaging.reduction import OVERSIZE, Grid, Least
from tier_cli.imaging.resample import resize
from tier_cli.packages import missing_package

if TYPE_CHECKING:
    from numpy.typing import NDArray

Affine = tuple[tuple[float, float, float], tuple[float, float, float]]
_SAME: Affine = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True)
class Crops:
    """Crops of an image for finer maps.

    Parameters
    ----------
    preprocessing
        How each is prepared.
    shifts
        How far each lies below and to the right of the usual place, in pixels of the model's input.
    """

    preprocessing: Preprocessing
    shifts: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Settings:
    """How every file of a run is read and prepared.

    Parameters
    ----------
    read, preprocessing
        How a file becomes a radiograph, and a radiograph the model's input.
    corruptions
        Each image is also returned with these corruptions.
    seed
        With the image, determines the corruptions.
    others
        Each image is also prepared in these ways, for other models.
    picture
        Also return each image as a picture whose longer side is at most so many pixels; 0 = no picture.
    crops
        Also return these crops of each image; None for none.
    """

    read: ReadOptions
    preprocessing: Preprocessing
    corruptions: tuple[Corruption, ...] = ()
    seed: int = 0
    others: tuple[Preprocessing, ...] = ()
    picture: int = 0
    crops: Crops | None = None

    @classmethod
    def of(cls, read: ReadOptions, first: Preprocessing, *others: Preprocessing) -> Settings:
        """Return settings that read as `read` says, in the rendering of the first preprocessing."""
        return cls(replace(read, rendering=first.rendering), first, others=others)

    def least(self, rendering: Rendering) -> Least | None:
        """Return the size at which an image of a rendering serves all that is made of it; None for any."""
        if self.read.decode == "full" or self.corruptions:
            return None
        specs = [other for other in self.others if other.rendering == rendering]
        if rendering != self.read.rendering:
            return least_of(specs)
        specs += [self.preprocessing, *([self.crops.preprocessing] if self.crops else [])]
        least = least_of(specs)
        # A picture may be made of as many pixels as it has.
        return least and least._replace(long=max(least.long, math.ceil(self.picture / OVERSIZE)))

    @property
    def seconds(self) -> float:
        """How long one file may take: the limit of a reading, for each image that is made of it."""
        return self.read.timeout * (1 + len(self.corruptions) + len(self.others))


@dataclass(frozen=True, eq=False)
class Decoded:
    """One prepared image with its attributes.

    Parameters
    ----------
    pixels
        float32 (3, S, S); with V corruptions (1 + V, 3, S, S), the uncorrupted image first.
    view, study, series, instance, notes, phi
        See `Radiograph`.
    size
        Height and width of the image in its file, upright.
    affine
        From a pixel of the model's input to one of the file's image; for the uncorrupted image.
    orientation
        How the radiograph was turned or mirrored relative to the file.
    others
        float32 (3, S, S) each: the image prepared as in `Settings.others`.
    picture
        uint8 (h, w): the image upright, at most `Settings.picture` pixels long; None if not requested.
    crops
        float32 (C, 3, S, S): the image in the crops of `Settings.crops`; None if not requested.
    crops_affine
        As `affine`, for a crop that is not shifted.
    """

    pixels: NDArray[np.float32]
    view: str = ""
    study: str = ""
    series: str = ""
    instance: str = ""
    notes: tuple[str, ...] = ()
    phi: dict[str, str] | None = None
    size: tuple[int, int] = (0, 0)
    affine: Affine = _SAME
    orientation: Orientation = UPRIGHT
    others: tuple[NDArray[np.float32], ...] = ()
    picture: NDArray[np.uint8] | None = None
    crops: NDArray[np.float32] | None = None
    crops_affine: Affine = _SAME

    @property
    def prepared(self) -> tuple[NDArray[np.float32], ...]:
        """The image in all its preparations."""
        return (self.pixels, *self.others)


def decode(path: str, settings: Settings) -> Decoded | InputError:
    """Read and prepare one file; an error is returned, not raised, so that the run continues."""
    try:
        radiograph = read_radiograph(path, settings.read, settings.least(settings.read.rendering))
        prepared = prepare(_levels(radiograph, settings), settings.preprocessing, radiograph.extent)
        pixels = prepared.pixels
        if settings.corruptions:
            pixels = np.stack([pixels, *_corrupted(radiograph.pixels, settings)])
        others = _others(path, radiograph, settings)
        picture = _picture(radiograph, settings.picture) if settings.picture else None
        crops, crops_affine = _crops(radiograph, settings.crops) if settings.crops else (None, _SAME)
    except InputError as error:
        return error
    except MemoryError:
        return out_of_memory(path)
    except Exception as error:  # noqa: BLE001 - one unreadable file must not end the run
        return _unexpected(path, error)
    return Decoded(
        pixels=pixels,
        view=radiograph.view,
        study=radiograph.study,
        series=radiograph.series,
        instance=radiograph.instance,
        notes=radiograph.notes,
        phi=radiograph.phi,
        size=radiograph.source_size,
        affine=_to_file(prepared.affine, radiograph),
        orientation=radiograph.orientation,
        others=others,
        picture=picture,
        crops=crops,
        crops_affine=crops_affine,
    )


def _levels(radiograph: Radiograph, settings: Settings) -> NDArray[np.float32] | Grid:
    return radiograph.pixels if settings.read.decode == "full" else radiograph.levels


def reduced(pixels: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    """Return pixels (H, W) in [0, 1] as grey levels (h, w), with a longer side of at most `side`."""
    height, width = pixels.shape
    scale = min(1.0, side / max(height, width))
    if scale < 1:
        new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
        # Two pixels for each new one are enough, and several times faster.
        step = max(1, int(0.5 / scale))
        pixels = pixels[step // 2 :: step, step // 2 :: step]
        pixels = resize(pixels, new_height, new_width, "bilinear")
    levels: NDArray[np.uint8] = np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)
    return levels


def _picture(radiograph: Radiograph, side: int) -> NDArray[np.uint8]:
    """Return the radiograph as `reduced` does, of the same size if its pixels show it smaller already."""
    extent = radiograph.extent
    if extent is None:
        return reduced(radiograph.pixels, side)
    scale = min(1.0, side / max(radiograph.size))
    height, width = (max(1, round(length * scale)) for length in radiograph.size)
    pixels = resize(radiograph.pixels, height, width, "bilinear", box=extent.box)
    levels: NDArray[np.uint8] = np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)
    return levels


def _unexpected(path: str, error: Exception) -> InputError:
    missing = missing_package(error) if isinstance(error, ImportError) else None
    if missing is not None:
        return InputError(f"reading {missing.what}", where=path, remedy=missing.remedy, kind="codec")
    # Only the type: the text of the exception may quote the file's content.
    return InputError(
        f"reading failed unexpectedly ({type(error).__name__})",
        where=path,
        remedy="please report this as a bug",
        kind="crashed",
    )


def _others(path: str, radiograph: Radiograph, settings: Settings) -> tuple[NDArray[np.float32], ...]:
    """Prepare the image for the other models; the file is read again only for another rendering."""
    rendered = {settings.read.rendering: radiograph}
    for rendering in dict.fromkeys(other.rendering for other in settings.others):
        if rendering not in rendered:
            read = replace(settings.read, rendering=rendering)
            rendered[rendering] = read_radiograph(path, read, settings.least(rendering))
    images = [(rendered[other.rendering], other) for other in settings.others]
    return tuple(prepare(_levels(image, settings), other, image.extent).pixels for image, other in images)


def _corrupted(pixels: NDArray[np.float32], settings: Settings) -> Iterator[NDArray[np.float32]]:
    seed = (settings.seed, content_seed(pixels))
    for corruption in settings.corruptions:
        yield prepare(corrupt(pixels, corruption, seed), settings.preprocessing).pixels


def _crops(radiograph: Radiograph, crops: Crops) -> tuple[NDArray[np.float32], Affine]:
    """Return the crops (C, 3, S, S), and the affine of one that is not shifted."""
    shifts = [(0, 0), *crops.shifts]
    usual, *made = prepare_shifted(radiograph.pixels, crops.preprocessing, shifts, radiograph.extent)
    return np.stack([one.pixels for one in made]), _to_file(usual.affine, radiograph)


def _to_file(affine: NDArray[np.float64], radiograph: Radiograph) -> Affine:
    (a, b, c), (d, e, f) = to_source(affine, radiograph.size, radiograph.source_size).tolist()
    return (a, b, c), (d, e, f)
