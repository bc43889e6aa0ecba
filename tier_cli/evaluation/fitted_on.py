"""Check whether the evaluated images are among those a calibration or adaptation was fitted on."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.datasets.registry import CSV
from tier_cli.model.checkpoint import canonical_hash

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.selection import Selection
    from tier_cli.evaluation.truth import Labelled


class Overlap(Enum):
    """Whether evaluated images were used for fitting, as far as the records tell."""

    NONE = "none"
    POSSIBLE = "possible"
    SURE = "sure"


@dataclass(frozen=True)
class Images:
    """Identify images without naming a patient.

    Parameters
    ----------
    data
        The file name of the manifest, or the data set.
    dataset
        ``csv`` or a public data set.
    split
        Its name; ``all`` = every row.
    excluded
        Column=value pairs that were dropped.
    rows_sha256
        Hash of the rows: paths and labels in order.
    table_sha256
        Hash of the paths of the whole table, whatever the split.
    """

    data: str
    dataset: str
    split: str
    excluded: tuple[str, ...]
    rows_sha256: str
    table_sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record that a calibration keeps of the images it was fitted on."""
        return {**asdict(self), "excluded": list(self.excluded)}

    def overlap(self, fitted_on: Mapping[str, Any]) -> Overlap:
        """Return whether these images overlap those of a record made by `to_dict`."""
        if fitted_on.get("rows_sha256") == self.rows_sha256:
            return Overlap.SURE
        known = self.dataset != CSV and fitted_on.get("dataset") == self.dataset
        splits = {self.split.lower(), str(fitted_on.get("split")).lower()}
        apart = len(splits) > 1 and "all" not in splits
        if apart or not (known or fitted_on.get("table_sha256") == self.table_sha256):
            return Overlap.NONE
        # With other rows dropped, none of the rest need be in both.
        same = sorted(fitted_on.get("excluded") or []) == sorted(self.excluded)
        return Overlap.SURE if same else Overlap.POSSIBLE


def images_of(selection: Selection, truth: Labelled, data: Path | None, dataset: str) -> Images:
    """Identify the images of a selection and their labels, without folders of this machine.

    Parameters
    ----------
    selection, truth
        The rows and their labels (N, F).
    data, dataset
        The manifest's file, and ``csv`` or the public data set.
    """
    manifest = selection.manifest
    return Images(
        data=dataset if data is None else data.name,
        dataset=dataset,
        split=selection.split,
        excluded=selection.excluded,
        rows_sha256=rows_hash(manifest, truth),
        table_sha256=canonical_hash(sorted(_below(manifest.root, list(selection.numbers)))),
    )


def rows_hash(manifest: Manifest, truth: Labelled) -> str:
    """Return the SHA-256 (hex) of the images' paths below their root and their labels, in order."""
    labels = [[None if math.isnan(cell) else int(cell) for cell in row] for row in truth.labels.tolist()]
    paths = _below(manifest.root, manifest.paths)
    return canonical_hash({"findings": list(truth.findings), "paths": paths, "labels": labels})


def _below(root: str, paths: list[str]) -> list[str]:
    # File names need not be UTF-8.
    below = (os.fsencode(Path(os.path.relpath(path, root)).as_posix()) for path in paths)
    return [name.decode("utf-8", "backslashreplace") for name in below]
