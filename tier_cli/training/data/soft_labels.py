"""Read probabilities of findings that take the place of labels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.datasets.manifest import read_manifest
from tier_cli.errors import ManifestError
from tier_cli.training.data.splits import TRAIN

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.training.data.labels import LabelledRows


@dataclass(frozen=True)
class SoftLabels:
    """Probabilities of the findings in some images.

    Parameters
    ----------
    manifest
        One row per image, with a column of probabilities per finding.
    values
        (N, F) for the rows and findings that are trained on: in [0, 1], NaN where nothing is stated.
    """

    manifest: Manifest
    values: NDArray[np.float64]

    @property
    def images(self) -> int:
        """How many of the rows have a probability."""
        return int((~np.isnan(self.values)).any(axis=1).sum())


def read_soft_labels(file: Path, root: Path | None, rows: LabelledRows) -> SoftLabels:
    """Read a CSV file with a column of paths and one column per finding.

    Parameters
    ----------
    file
        The file. Cells hold probabilities, or nothing.
    root
        The folder that relative paths start from; the file's own folder by default.
    rows
        The images and the finding set; other images of the file, and validation images, are ignored.

    Raises
    ------
    ManifestError
        No column names a finding, no path is that of a training image, an image occurs twice, or a cell is
        not a number in [0, 1].
    """
    manifest = read_manifest(file, root)
    columns = manifest.label_columns(rows.findings)
    if not columns:
        raise ManifestError(
            f"no column names a finding of {rows.findings.name}",
            where=str(file),
            remedy="give one column per finding, named as in the finding set",
        )
    places = _places(manifest)
    found = np.array([places.get(os.path.abspath(path), -1) for path in rows.paths], dtype=np.intp)
    there = (found >= 0) & rows.manifest.in_split(TRAIN)
    if not there.any():
        raise ManifestError(
            "no path is that of a training image",
            where=str(file),
            remedy="write the paths as in the data, relative to --root or to this file",
        )
    values = np.full((len(rows), len(rows.findings.ids)), np.nan)
    for number, name in enumerate(rows.findings.ids):
        if name in columns:
            cells = manifest.frame[columns[name]].to_numpy()[found[there]]
            paths = (path for path, use in zip(rows.paths, there, strict=True) if use)
            where = f"{file}, column {columns[name]!r}, image "
            values[there, number] = [
                _probability(cell, where + path) for cell, path in zip(cells, paths, strict=True)
            ]
    return SoftLabels(manifest, values)


def _places(manifest: Manifest) -> dict[str, int]:
    places: dict[str, int] = {}
    for place, path in enumerate(manifest.paths):
        if places.setdefault(os.path.abspath(path), place) != place:
            raise ManifestError(f"{path} occurs twice", where=manifest.origin, remedy="keep one of the rows")
    return places


def _probability(cell: str, where: str) -> float:
    if not cell.strip():
        return float("nan")
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise ManifestError(
            f"{cell!r} is not a probability", where=where, remedy="write a number from 0 to 1, or nothing"
        )
    return value
