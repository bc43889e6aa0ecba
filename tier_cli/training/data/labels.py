"""Parse the labels of a manifest once, for its splits, its validation images and its captions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.training.data.caption_labels import CaptionLabels, read_caption_labels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import FindingSet

    Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledRows:
    """Rows of a manifest with their labels.

    Parameters
    ----------
    manifest
        The rows.
    findings
        The finding set of the labels.
    values
        (N, F) labels: 1, 0, -1 = uncertain, NaN = not mentioned.
    """

    manifest: Manifest
    findings: FindingSet
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.manifest)

    @property
    def paths(self) -> Sequence[str]:
        """The path of each image."""
        return self.manifest.paths

    def where(self, rows: Rows) -> Self:
        """Return the rows that a mask (N,) selects."""
        return replace(self, manifest=self.manifest.where(rows), values=self.values[rows])

    def labelled(self) -> Rows:
        """Return which rows (N,) have a yes or no for at least one finding."""
        return np.asarray(np.isin(self.values, (0, 1)).any(axis=1), dtype=bool)

    def comparable(self) -> bool:
        """Return whether a mean AUC can rank models: some finding has positive and negative labels."""
        return bool(((self.values == 1).any(axis=0) & (self.values == 0).any(axis=0)).any())


@dataclass(frozen=True)
class TrainingRows(LabelledRows):
    """Rows of a manifest with their labels, and with the labels that captions can be written from.

    Parameters
    ----------
    captions
        The labels for captions, row by row.
    soft
        (N, F) probabilities that take the place of labels where scores are compared with them, NaN where
        there is none; None without any.
    """

    captions: CaptionLabels
    soft: NDArray[np.float64] | None = None

    def where(self, rows: Rows) -> Self:
        """Return the rows that a mask (N,) selects."""
        soft = None if self.soft is None else self.soft[rows]
        return replace(super().where(rows), captions=self.captions.rows(rows), soft=soft)

    def targets(self) -> NDArray[np.float64]:
        """Return what scores are compared with (N, F): probability, else 1 or 0, else NaN."""
        known = np.where(np.isin(self.values, (0, 1)), self.values, np.nan)
        return known if self.soft is None else np.where(np.isnan(self.soft), known, self.soft)

    def compared(self) -> Rows:
        """Return which findings (F,) some row has a target for."""
        return np.asarray(~np.isnan(self.targets()).all(axis=0), dtype=bool)


def label_rows(manifest: Manifest, findings: FindingSet) -> LabelledRows:
    """Parse the labels of a finding set.

    Raises
    ------
    ManifestError
        A cell is not a label, or two columns name one finding.
    """
    return LabelledRows(manifest, findings, manifest.labels(findings))


def label_training_rows(manifest: Manifest, findings: FindingSet) -> TrainingRows:
    """Parse the labels of a finding set and those for captions; raises `ManifestError` as `label_rows`."""
    values = manifest.labels(findings)
    return TrainingRows(manifest, findings, values, read_caption_labels(manifest, findings, values))
