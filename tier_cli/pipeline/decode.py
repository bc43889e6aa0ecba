"""One file -> what the model takes; runs in the decoding processes, so it imports the imaging room only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tier_cli.errors import InputError
from tier_cli.imaging.preprocess import Preprocessing, prepare
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Settings:
    """How every file of a run is read and prepared."""

    read: ReadOptions
    preprocessing: Preprocessing


@dataclass(frozen=True, eq=False)
class Decoded:
    """One image as the model takes it, float32 (3, S, S), and what is known about it."""

    pixels: NDArray[np.float32]
    view: str = ""
    study: str = ""
    series: str = ""
    instance: str = ""
    notes: tuple[str, ...] = ()
    phi: dict[str, str] | None = None


def decode(path: str, settings: Settings) -> Decoded | InputError:
    """Read and prepare one file; whatever is wrong with it is returned, so that the run goes on."""
    try:
        radiograph = read_radiograph(path, settings.read)
        pixels = prepare(radiograph.pixels, settings.preprocessing).pixels
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
    )
