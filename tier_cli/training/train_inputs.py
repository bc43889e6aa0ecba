"""Hold what a training run starts from: rows, preprocessing, finding set and starting weights."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.training.data.splits import TRAIN, VALID

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.training.data.labels import LabelledRows, TrainingRows
    from tier_cli.training.data.soft_labels import SoftLabels
    from tier_cli.training.data.validation_data import ValidationData


@dataclass(frozen=True)
class TrainInputs:
    """What a run starts from.

    Parameters
    ----------
    rows
        Training and validation images in the splits ``train`` and ``valid``, with labels of the finding set
        that the checkpoint scores by default: see `choose_rows`.
    preprocessing
        How images become model inputs, in training and in use.
    init
        Folder of the checkpoint to start from, or None to start from the two towers.
    image_tower, text_tower
        Folders with starting weights, or the file of an image tower; the text tower's folder also holds the
        tokenizer.
    about
        Description of the data for the record of the run.
    validation
        Separate validation data; None validates on the split ``valid`` of `rows`.
    soft_labels
        Where the probabilities of `rows` come from; None without any.
    """

    rows: TrainingRows
    preprocessing: Preprocessing
    init: Path | None = None
    image_tower: Path | None = None
    text_tower: Path | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    validation: ValidationData | None = None
    soft_labels: SoftLabels | None = None

    @property
    def manifest(self) -> Manifest:
        """The training and validation images."""
        return self.rows.manifest

    @property
    def findings(self) -> FindingSet:
        """The finding set that the checkpoint scores by default."""
        return self.rows.findings

    @property
    def validation_findings(self) -> FindingSet:
        """The findings that the validation images are scored for."""
        return self.findings if self.validation is None else self.validation.findings

    @property
    def validation_split(self) -> str | None:
        """The name of the validation split; None where the validation data have no splits."""
        return VALID if self.validation is None else self.validation.split

    @cached_property
    def rows_hash(self) -> str:
        """Manifest hash, computed once: it takes seconds for some hundred thousand rows."""
        return content_hash(self.manifest)

    @cached_property
    def validation_hash(self) -> str | None:
        """Hash of separate validation data, computed once; None where there are none."""
        return None if self.validation is None else content_hash(self.validation.manifest)

    @cached_property
    def soft_labels_hash(self) -> str | None:
        """Hash of the probabilities, computed once; None where there are none."""
        return None if self.soft_labels is None else content_hash(self.soft_labels.manifest)

    @property
    def tokenizer_folder(self) -> Path:
        """The folder with the tokenizer of the starting weights."""
        return self.init or self.text_tower or Path()

    def split(self) -> tuple[TrainingRows, LabelledRows | None]:
        """Return the training rows and the validation rows; None where there are no validation rows."""
        training = self.rows.where(self.manifest.in_split(TRAIN))
        if self.validation is not None:
            return training, self.validation.rows
        validation = self.manifest.column("split") == VALID
        return training, self.rows.where(validation) if validation.any() else None

    def can_compare(self) -> bool:
        """Return whether a mean AUC can rank models on the validation rows."""
        _, validation = self.split()
        return validation is not None and validation.comparable()


def content_hash(manifest: Manifest) -> str:
    """Return the SHA-256 (hex) of a manifest's columns and cells, with paths relative to its root."""
    frame = manifest.frame
    digest = hashlib.sha256("\x1f".join(frame.columns).encode())
    paths = list(frame.columns).index("path")
    for row in frame.itertuples(index=False, name=None):
        cells = [str(cell) for cell in row]
        cells[paths] = os.path.relpath(cells[paths], manifest.root)
        digest.update(b"\x1e" + "\x1f".join(cells).encode())
    return digest.hexdigest()
