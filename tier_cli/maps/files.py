"""Write the maps of one image: numbers, pictures, and what stands out. Each file is whole or absent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.errors import StorageError
from tier_cli.files.atomic import whole_file
from tier_cli.maps.regions import feature_collection
from tier_cli.results.record import Result

if TYPE_CHECKING:
    from PIL.Image import Image

    from tier_cli.maps.explanation import Explanation
    from tier_cli.results.record import ModelStamp

# Enough that no two of a billion files share a name.
_DIGITS = 20


def stem_of(result: Result) -> str:
    """Return what the names of an image's files begin with: a hash of its path, which shows nothing of it."""
    return hashlib.sha256(result.paths[0].encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]


def write_maps(path: Path, explanation: Explanation, stamp: ModelStamp) -> None:
    """Write the similarities of T maps as .npz, without pickle.

    The arrays: ``maps`` float32 (T, h, w); ``names``, ``labels``, ``similarities`` (the kind of each map),
    ``scores`` and ``map_thresholds`` (NaN without one), (T,) each; ``affine`` (2, 3), ``side``, ``size`` and
    ``turned`` as in `PatchGrid`, and ``stored_affine`` for the image as its file stores it; ``model``, the
    JSON of the model's name and hashes as in results.
    """
    grid, maps = explanation.grid, explanation.maps
    thresholds = [np.nan if one.threshold is None else one.threshold for one in maps]
    shape = (len(maps), grid.rows, grid.columns)
    with _written(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            maps=np.array([one.values for one in maps], np.float32).reshape(shape),
            names=np.array([one.name for one in maps], np.str_),
            labels=np.array([one.label for one in maps], np.str_),
            similarities=np.array([one.kind for one in maps], np.str_),
            scores=np.array([one.score.score for one in maps], np.float64),
            map_thresholds=np.array(thresholds, np.float64),
            affine=np.array(grid.affine, np.float64),
            stored_affine=np.array(grid.stored_affine, np.float64),
            side=np.array(grid.side),
            size=np.array(grid.size),
            turned=np.array(grid.turned),
            model=np.array(json.dumps(stamp.to_dict())),
        )


def write_regions(path: Path, explanation: Explanation, stamp: ModelStamp) -> None:
    """Write the regions of patches that reach the thresholds of their maps, see `feature_collection`."""
    content = {
        **feature_collection(explanation.maps, explanation.grid),
        "model": stamp.to_dict(),
        "note": "similarities of patches to texts, for research use: no segmentation, no diagnosis",
    }
    with _written(path) as partial:
        partial.write_text(json.dumps(content) + "\n", encoding="utf-8")


def write_picture(path: Path, picture: Image) -> None:
    """Write a picture as PNG without any text in it but the one that is drawn."""
    with _written(path) as partial:
        # Pillow would take the format from the name. The lowest level is several times faster, and the file
        # a fifth larger.
        picture.save(partial, "PNG", compress_level=1)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Raise what keeps a file from being written, such as a full or lost disk, as `StorageError`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot be written: {error.strerror or 'unknown reason'}",
            where=str(path),
            remedy="make room, or choose another folder",
        ) from error


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    with storage_errors(path), whole_file(path) as partial:
        yield partial
