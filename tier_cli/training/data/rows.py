"""Choose training and validation rows: by split and patient, by view, with a text and a label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.datasets.opening import open_data
from tier_cli.datasets.registry import CSV, dataset_info, trainable_names
from tier_cli.datasets.split_names import usual_split
from tier_cli.datasets.views import lateral_rows
from tier_cli.errors import ManifestError, UsageError
from tier_cli.training.data.labels import label_training_rows
from tier_cli.training.data.notes import Note
from tier_cli.training.data.pairs import texts_of, usable, why_left_out
from tier_cli.training.data.splits import (
    TEST,
    TRAIN,
    VALID,
    describe,
    divide,
    is_synthetic,
    without_leaks,
)
from tier_cli.training.data.validation_data import without_validation_patients

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import FindingSet
    from tier_cli.training.data.labels import TrainingRows
    from tier_cli.training.data.validation_data import ValidationData
    from tier_cli.training.settings import SplitChoice, Text

    Rows = NDArray[np.bool_]

LABELS: Text = "labels"


@dataclass(frozen=True)
class TrainingData:
    """What a run trains and validates on.

    Parameters
    ----------
    rows
        The usable rows, all of them in the splits ``train`` and ``valid``.
    record
        Description of the data for the record of the run: plain values, no paths, no patient keys.
    notes
        Notes for people.
    """

    rows: TrainingRows
    record: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def manifest(self) -> Manifest:
        """The usable rows, without their labels."""
        return self.rows.manifest


def open_training_data(dataset: str, data: Path | None, root: Path | None, text: Text | None) -> Manifest:
    """Open the training data that the options name, with all their splits.

    Parameters
    ----------
    dataset, data, root
        As for `open_data`.
    text
        ``impression``, ``findings`` or ``both`` sections of the reports; ``labels`` drops the reports, and
        captions are written from labels. None takes the impressions of a public data set, and the texts of
        a manifest unchanged.

    Raises
    ------
    UsageError
        No data, or a public data set that is for evaluation only.
    ManifestError
        The data on disk cannot be used.
    """
    if dataset != CSV:
        info = dataset_info(dataset)
        if not info.trainable:
            raise UsageError(
                f"{info.title} is for evaluation only: {info.evaluation_only}",
                where="--dataset",
                remedy=f"train on one of: {', '.join(trainable_names())}",
            )
        if text not in (None, LABELS) and not info.reports:
            raise UsageError(
                f"{info.title} has no reports",
                where="--text",
                remedy="leave it out; labels become captions",
            )
        wanted = None if text == LABELS or not info.reports else text or "impression"
        return open_data(dataset, data, root, "all", wanted)
    manifest = open_data(CSV, data, root, text=None if text == LABELS else text)
    if text == LABELS and "text" in manifest.frame.columns:
        return replace(manifest, frame=manifest.frame.drop(columns="text"))
    return manifest


def choose_rows(
    manifest: Manifest,
    dataset: str,
    choice: SplitChoice,
    findings: FindingSet,
    validation: ValidationData | None = None,
) -> TrainingData:
    """Choose training and validation rows; rows of other splits stay unused.

    Parameters
    ----------
    manifest, dataset
        The data from `open_training_data`, and their name.
    choice
        The splits to use.
    findings
        Validation rows need a label of one of these findings.
    validation
        Separate validation data: then all rows of `choice.train_split` are trained on, except patients of
        the validation data.

    Raises
    ------
    ManifestError
        A split does not exist, a patient is in two splits, or no row has a text or a label.
    UsageError
        A test split was named.
    """
    if validation is not None:
        # --valid-split has chosen the rows of the separate data.
        choice = replace(choice, valid_split=None, separate=True)
    _check_names(choice)
    notes = [*manifest.reading_notes]
    rows = label_training_rows(manifest, findings)
    division = divide(rows, dataset, choice, notes)
    train = without_leaks(manifest, dataset, division, choice, notes)
    split = describe(division)
    if validation is not None:
        train = without_validation_patients(manifest, dataset, train, validation, notes)
        split = f"{split}; validation: {validation.title}{_of_split(validation.split)}"
    chosen, captions, empty = _with_text(rows, train, choice.views == "frontal", notes)
    valid = division.valid & ~lateral_rows(manifest) & rows.labelled()
    if division.valid.any() and not valid.any():
        notes.append(Note.NO_FRONTAL_VALIDATION.text(findings=findings.name))
    splits = np.where(valid, VALID, np.where(chosen, TRAIN, ""))
    frame = manifest.frame.assign(split=splits)
    kept = replace(rows, manifest=replace(manifest, frame=frame)).where(np.asarray(splits != ""))
    splits = splits[splits != ""]
    record = {
        "dataset": None if dataset == CSV else dataset,
        "title": None if dataset == CSV else dataset_info(dataset).title,
        "texts": "captions written from labels" if captions else "reports",
        "views": choice.views,
        "split": split,
        "how": division.how,
        "train_split": division.train_split,
        "valid_split": division.valid_split if validation is None else validation.split,
        "rows": {
            TRAIN: _counts(kept.manifest.where(splits == TRAIN)),
            VALID: _counts(
                kept.manifest.where(splits == VALID) if validation is None else validation.manifest
            ),
        },
        "images_without_text": empty,
        "synthetic": is_synthetic(kept.manifest),
    }
    return TrainingData(kept, record, tuple(notes))


def check_contrast(manifest: Manifest) -> None:
    """Check that the training rows are of more than one study: images of one study are not negatives.

    Raises
    ------
    ManifestError
        All rows are of one study.
    """
    rows = manifest.split(TRAIN)
    studies = np.where(rows.column("study") == "", rows.column("path"), rows.column("study"))
    if len(set(zip(rows.column("patient").tolist(), studies.tolist(), strict=True))) < 2:
        raise ManifestError(
            "only one study is left to train on: there is nothing to contrast it with",
            where=rows.origin,
            remedy="add images with a text or a label",
        )


def _check_names(choice: SplitChoice) -> None:
    if choice.valid_split is not None and choice.valid_split.lower() == choice.train_split.lower():
        raise UsageError(
            "the training split cannot be the validation split",
            where="--valid-split",
            remedy="name another split",
        )
    for option, name in (("--train-split", choice.train_split), ("--valid-split", choice.valid_split)):
        if name is not None and usual_split(name) == TEST:
            raise UsageError(
                "a test split is for evaluation only: a model must not be trained or selected on it",
                where=option,
                remedy="leave it to `tier eval`, or rename the split",
            )


def _with_text(
    rows: TrainingRows, train: Rows, frontal_only: bool, notes: list[str]
) -> tuple[Rows, bool, int]:
    """Return the training rows with a text, whether texts are captions, and how many rows have no text."""
    if frontal_only:
        lateral = train & lateral_rows(rows.manifest)
        notes.append(Note.LATERAL.text(images=int(lateral.sum())))
        train = train & ~lateral
    numbers = np.flatnonzero(train)
    training = rows.where(train)
    found, captions = usable(training)
    chosen = train.copy()
    chosen[numbers[~found]] = False
    if captions:
        notes.append(Note.CAPTIONS.text())
    notes += why_left_out(training.where(~found), captions)
    return chosen, captions, int((~found).sum())


def _of_split(split: str | None) -> str:
    return "" if split is None else f", split {split}"


def _counts(rows: Manifest) -> dict[str, int]:
    return {
        "images": len(rows),
        "patients": len(set(rows.patients().tolist())),
        "texts": len(set(texts_of(rows)) - {""}),
    }
