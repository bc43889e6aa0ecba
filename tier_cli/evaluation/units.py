"""Combine images into the units that are counted: images, studies or patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import ManifestError

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest

KINDS = ("image", "study", "patient")
MIXED = "mixed"
RULE = (
    "score: mean over the unit's scored images; label: 1 if any image has 1, else -1 if any has -1, "
    "else 0 if any has 0, else blank"
)
PLURALS = {"image": "images", "study": "studies", "patient": "patients"}
# Labels from weakest to strongest: a unit takes the strongest label among its images.
_STRENGTH = np.array([np.nan, 0.0, -1.0, 1.0])

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """The unit that each image belongs to.

    Parameters
    ----------
    kind
        ``image``, ``study`` or ``patient``.
    index
        (N,) the number of each image's unit; units are numbered in order of first appearance.
    count
        U, the number of units.
    """

    kind: str
    index: NDArray[np.intp]
    count: int

    @property
    def plural(self) -> str:
        """The plural of `kind`."""
        return PLURALS[self.kind]

    def mean(self, values: Floats) -> Floats:
        """Average the finite scores (N, F) of each unit's images into (U, F); NaN where there are none."""
        known = np.isfinite(values)
        sums, counts = np.zeros((2, self.count, values.shape[1]))
        np.add.at(sums, self.index, np.where(known, values, 0))
        np.add.at(counts, self.index, known)
        means: Floats = np.full_like(sums, np.nan)
        return np.divide(sums, counts, out=means, where=counts > 0)

    def labels(self, raw: Floats) -> Floats:
        """Combine image labels (N, F) into unit labels (U, F): 1, 0, -1 = uncertain, NaN = blank.

        A unit is 1 if any image is 1, else -1 if any is -1, else 0 if any is 0.
        """
        strength = np.select([raw == 1, raw == -1, raw == 0], [3, 2, 1], default=0)
        strongest = np.zeros((self.count, raw.shape[1]), dtype=np.intp)
        np.maximum.at(strongest, self.index, strength)
        return _STRENGTH[strongest]

    def column(self, cells: NDArray[np.str_]) -> NDArray[np.str_]:
        """Combine image cells (N,) into unit cells (U,): the value all images share, else ``mixed``."""
        first = self.first(cells).astype(object)
        differs = np.zeros(self.count, dtype=bool)
        np.logical_or.at(differs, self.index, cells != first[self.index])
        return np.where(differs, MIXED, first).astype(np.str_)

    def where(self, keep: NDArray[np.bool_]) -> tuple[Units, NDArray[np.bool_]]:
        """Keep some units (U,); return them renumbered, and a mask (N,) of their images."""
        images = keep[self.index]
        renumbered = np.cumsum(keep) - 1
        return Units(self.kind, renumbered[self.index[images]], int(keep.sum())), images

    def first(self, cells: NDArray[np.str_]) -> NDArray[np.str_]:
        """Return the cell (U,) of each unit's first image."""
        return cells[np.unique(self.index, return_index=True)[1]]


def units_of(manifest: Manifest, kind: str) -> Units:
    """Group the images of a manifest.

    An image without a study, or without a patient, is a unit of its own.

    Parameters
    ----------
    manifest
        N rows.
    kind
        One of `KINDS`.

    Raises
    ------
    ManifestError
        A study has images of two patients.
    """
    if kind == "image":
        return Units(kind, np.arange(len(manifest)), len(manifest))
    if kind == "patient":
        return _numbered(kind, manifest.patients())
    studies, paths = manifest.column("study"), manifest.column("path")
    keys = np.where(studies == "", np.char.add("image:", paths), np.char.add("study:", studies))
    units = _numbered(kind, keys)
    patients = manifest.column("patient")
    # A row without a patient does not contradict the other rows of its study.
    named = np.flatnonzero(patients != "")
    first = np.full(units.count, "", dtype=patients.dtype)
    first[units.index[named[::-1]]] = patients[named[::-1]]
    mixed = named[first[units.index[named]] != patients[named]]
    if mixed.size:
        raise ManifestError(
            f"the study of {str(paths[mixed[0]])!r} has images of different patients",
            where=manifest.origin,
            remedy="use study names that are unique across patients",
        )
    return units


def _numbered(kind: str, keys: NDArray[np.str_]) -> Units:
    names, first, index = np.unique(keys, return_index=True, return_inverse=True)
    place = np.empty(len(names), dtype=np.intp)
    place[np.argsort(first)] = np.arange(len(names))
    return Units(kind, place[index], len(names))
