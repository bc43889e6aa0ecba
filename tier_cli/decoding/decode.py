"""One file -> what the model takes; runs in the decoding processes, so it imports the imaging room only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.errors import InputError
from tier_cli.imaging.corrupt import Corruption, content_seed, corrupt
from tier_cli.imaging.preprocess import Prepared, Preprocessing, prepare
from tier_cli.imaging.radiograph import Radiograph, ReadOptions
from tier_cli.imaging.read import read_radiograph

if TYPE_CHECKING:
    from numpy.typing import NDArray

Affine = tuple[tuple[float, float, float], tuple[float, float, float]]
_SAME: Affine = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True)
class Settings:
    """How every file of a run is read and prepared.

    Parameters
    ----------
    read, preprocessing
        How a file becomes a radiograph, and a radiograph what the model takes.
    corruptions
        Each image is given also damaged in these ways.
    seed
        What the damage depends on, beside the image itself.
    others
        Each image is prepared in these ways too, for other models.
    """

    read: ReadOptions
    preprocessing: Preprocessing
    corruptions: tuple[Corruption, ...] = ()
    seed: int = 0
    others: tuple[Preprocessing, ...] = ()

    @classmethod
    def of(cls, read: ReadOptions, first: Preprocessing, *others: Preprocessing) -> Settings:
        """Read as asked for, in the rendering that the first preparation wants."""
        return cls(replace(read, rendering=first.rendering), first, others=others)


@dataclass(frozen=True, eq=False)
class Decoded:
    """One image as the model takes it, and what is known about it.

    Parameters
    ----------
    pixels
        float32 (3, S, S); with V corruptions (1 + V, 3, S, S), the image as it is first.
    size
        Height and width of the radiograph in pixels.
    affine
        From a pixel of the model's input to the radiograph's, see `Prepared`; of the image as it is.
    turned
        Whether the radiograph lies otherwise than in the file.
    others
        float32 (3, S, S) each: the image prepared as `Settings.others` says.
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
    turned: bool = False
    others: tuple[NDArray[np.float32], ...] = ()

    @property
    def prepared(self) -> tuple[NDArray[np.float32], ...]:
        """The image in all the ways it was prepared."""
        return (self.pixels, *self.others)


def decode(path: str, settings: Settings) -> Decoded | InputError:
    """Read and prepare one file; whatever is wrong with it is returned, so that the run goes on."""
    try:
        radiograph = read_radiograph(path, settings.read)
        prepared = prepare(radiograph.pixels, settings.preprocessing)
        pixels = prepared.pixels
        if settings.corruptions:
            pixels = np.stack([pixels, *_damaged(radiograph.pixels, settings)])
        others = _others(path, radiograph, settings)
    except InputError as error:
        return error
    except MemoryError:
        return InputError(
            "the image does not fit into memory", where=path, remedy="use fewer --workers", kind="too_large"
        )
    except Exception as error:  # noqa: BLE001 - one file that a reader trips over must not end the run
        # The name only: the text of the exception may quote the file's content.
        return InputError(
            f"reading it failed in an unforeseen way ({type(error).__name__})",
            where=path,
            remedy="please report this",
            kind="crashed",
        )
    return Decoded(
        pixels=pixels,
        view=radiograph.view,
        study=radiograph.study,
        series=radiograph.series,
        instance=radiograph.instance,
        notes=radiograph.notes,
        phi=radiograph.phi,
        size=(radiograph.pixels.shape[0], radiograph.pixels.shape[1]),
        affine=_rows(prepared),
        turned=radiograph.turned,
        others=others,
    )


def _others(path: str, radiograph: Radiograph, settings: Settings) -> tuple[NDArray[np.float32], ...]:
    """Prepare the image in the other ways; the file is read again only for another rendering."""
    rendered = {settings.read.rendering: radiograph}
    for rendering in dict.fromkeys(other.rendering for other in settings.others):
        if rendering not in rendered:
            rendered[rendering] = read_radiograph(path, replace(settings.read, rendering=rendering))
    return tuple(prepare(rendered[other.rendering].pixels, other).pixels for other in settings.others)


def _damaged(pixels: NDArray[np.float32], settings: Settings) -> Iterator[NDArray[np.float32]]:
    seed = (settings.seed, content_seed(pixels))
    for corruption in settings.corruptions:
        yield prepare(corrupt(pixels, corruption, seed), settings.preprocessing).pixels


def _rows(prepared: Prepared) -> Affine:
    (a, b, c), (d, e, f) = prepared.affine.tolist()
    return (a, b, c), (d, e, f)
