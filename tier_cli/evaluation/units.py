"""From images to what is counted: images, studies or patients."""

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
# What a unit's label is, from the weakest to the strongest of its images' labels: blank, 0, -1, 1.
_STRENGTH = np.array([np.nan, 0.0, -1.0, 1.0])

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """Which unit each image belongs to.

    Parameters
    ----------
    kind
        ``image``, ``study`` or ``patient``.
    index
        (N,) number of the unit of each image; units are numbered as they first appear.
    count
        U, how many units there are.
    """

    kind: str
    index: NDArray[np.intp]
    count: int

    @property
    def plural(self) -> str:
        """What several of them are called."""
        return PLURALS[self.kind]

    def mean(self, values: Floats) -> Floats:
        """Scores of images (N, F) to scores of units (U, F): means of what is finite, else NaN."""
        there = np.isfinite(values)
        sums, counts = np.zeros((2, self.count, values.shape[1]))
        np.add.at(sums, self.index, np.where(there, values, 0))
        np.add.at(counts, self.index, there)
        means: Floats = np.full_like(sums, np.nan)
        return np.divide(sums, counts, out=means, where=counts > 0)

    def labels(self, raw: Floats) -> Floats:
        """Labels of images (N, F) to labels of units (U, F), both 1, 0, -1 = uncertain, NaN = blank.

        1 if any image has 1, else -1 if any has -1, else 0 if any has 0.
        """
        strength = np.select([raw == 1, raw == -1, raw == 0], [3, 2, 1], default=0)
        strongest = np.zeros((self.count, raw.shape[1]), dtype=np.intp)
        np.maximum.at(strongest, self.index, strength)
        return _STRENGTH[strongest]

    def column(self, cells: NDArray[np.str_]) -> NDArray[np.str_]:
        """Cells of images (N,) to cells of units (U,): what all images share, else ``mixed``."""
        first = self.first(cells).astype(object)
        differs = np.zeros(self.count, dtype=bool)
        np.logical_or.at(differs, self.index, cells != first[self.index])
        return np.where(differs, MIXED, first).astype(np.str_)

    def where(self, keep: NDArray[np.bool_]) -> tuple[Units, NDArray[np.bool_]]:
        """Keep some units (U,); give them renumbered, and which images (N,) are theirs."""
        images = keep[self.index]
        renumbered = np.cumsum(keep) - 1
        return Units(self.kind, renumbered[self.index[images]], int(keep.sum())), images

    def first(self, cells: NDArray[np.str_]) -> NDArray[np.str_]:
        """Cells of images (N,) to cells of units (U,): what each unit's first image has."""
        return cells[np.unique(self.index, return_index=True)[1]]


def units_of(manifest: Manifest, kind: str) -> Units:
    """Group a manifest's images; an image that names no study, or no patient, is a unit of its own.

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
    named = manifest.column("patient")
    # A row that names no patient says nothing against the others of its study.
    told = np.flatnonzero(named != "")
    first = np.full(units.count, "", dtype=named.dtype)
    first[units.index[told[::-1]]] = named[told[::-1]]
    mixed = told[first[units.index[told]] != named[told]]
    if mixed.size:
        raise ManifestError(
            f"the study of {str(paths[mixed[0]])!r} has images of different patients",
            where=manifest.origin,
            remedy="give studies names that no other patient's have",
        )
    return units


def _numbered(kind: str, keys: NDArray[np.str_]) -> Units:
    names, first, index = np.unique(keys, return_index=True, return_inverse=True)
    place = np.empty(len(names), dtype=np.intp)
    place[np.argsort(first)] = np.arange(len(names))
    return Units(kind, place[index], len(names))
