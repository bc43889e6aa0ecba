"""Which rows of which data train and which are watched: by patient, by view, with a text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.datasets.registry import CSV, dataset_info, open_data, usual_split
from tier_cli.datasets.reports import with_sections
from tier_cli.datasets.views import lateral_rows
from tier_cli.errors import ManifestError, UsageError
from tier_cli.training.data.pairs import texts_of, usable, why_left_out
from tier_cli.training.data.splits import (
    TEST,
    TRAIN,
    VALID,
    SplitChoice,
    divide,
    is_synthetic,
    labelled,
    without_leaks,
)
from tier_cli.training.data.validation_data import without_validation_patients

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import FindingSet
    from tier_cli.training.data.validation_data import ValidationData

    Rows = NDArray[np.bool_]

LABELS = "labels"
TRAINABLE = ("mimic-cxr", "openi", "padchest", "nih14", "chexpert")


@dataclass(frozen=True)
class TrainingData:
    """What a run trains on and watches.

    Parameters
    ----------
    manifest
        Rows of the splits ``train`` and ``valid`` alone, every one of them of use.
    record
        What it is, for the record of the run: plain values, no paths, no keys of patients.
    notes
        What people should know.
    """

    manifest: Manifest
    record: dict[str, Any]
    notes: tuple[str, ...]


def open_training_data(dataset: str, data: Path | None, root: Path | None, text: str | None) -> Manifest:
    """Open what the options name, every split of it.

    Parameters
    ----------
    dataset, data, root
        As for `open_data`.
    text
        ``impression`` (of None too), ``findings`` or ``both`` of the reports; ``labels`` leaves reports out,
        so that captions are written from the labels. A manifest's texts are used as they are for None.

    Raises
    ------
    UsageError
        No data, or a data set that is for measuring.
    ManifestError
        What is on disk cannot be used.
    """
    if dataset != CSV:
        info = dataset_info(dataset)
        if dataset not in TRAINABLE:
            raise UsageError(
                f"{info.title} is for measuring", where="--dataset", remedy=f"train on {', '.join(TRAINABLE)}"
            )
        if text not in (None, LABELS) and not info.reports:
            raise UsageError(
                f"{info.title} has no reports", where="--text", remedy="leave it out: captions are written"
            )
        wanted = None if text == LABELS or not info.reports else text or "impression"
        return open_data(dataset, data, root, "all", wanted)
    manifest = open_data(CSV, data, root)
    if text not in (None, LABELS):
        return with_sections(manifest, text)
    if text == LABELS and "text" in manifest.frame.columns:
        return replace(manifest, frame=manifest.frame.drop(columns="text"))
    return manifest


def choose_rows(
    manifest: Manifest,
    dataset: str,
    choice: SplitChoice,
    findings: FindingSet,
    elsewhere: ValidationData | None = None,
) -> TrainingData:
    """Choose the rows that train and those that are watched; rows of other splits are left alone.

    Parameters
    ----------
    manifest, dataset
        As `open_training_data` gave it, and its name.
    choice
        What is wanted.
    findings
        Labels of these are what watched rows must have.
    elsewhere
        Other data to watch, so that all rows of `choice.train_split` train, but for patients of theirs.

    Raises
    ------
    ManifestError
        A split that is not there, a patient in two splits, no row with a text or a label.
    UsageError
        A test split was named.
    """
    if elsewhere is not None:
        # Its own split was chosen when it was opened.
        choice = replace(choice, valid_split=None, elsewhere=True)
    _check_names(dataset, choice)
    notes = [*manifest.notes]
    train, valid, how = divide(manifest, dataset, choice, findings, notes)
    train = without_leaks(manifest, dataset, train, valid, choice, notes)
    if elsewhere is not None:
        train = without_validation_patients(manifest, dataset, train, elsewhere, notes)
        how = f"{how}; watched: {elsewhere.title}{_named(elsewhere.split)}"
    chosen, captions, empty = _with_text(manifest, train, choice.frontal_only, findings, notes)
    watched = valid & ~lateral_rows(manifest) & labelled(manifest, findings)
    if valid.any() and not watched.any():
        notes.append(f"nothing is watched: no frontal image to watch has a label of {findings.name}")
    split = np.where(watched, VALID, np.where(chosen, TRAIN, ""))
    frame = manifest.frame.assign(split=split)
    kept = replace(manifest, frame=frame).where(np.asarray(split != ""))
    record = {
        "dataset": None if dataset == CSV else dataset,
        "title": None if dataset == CSV else dataset_info(dataset).title,
        "texts": "captions written from labels" if captions else "reports",
        "views": "frontal" if choice.frontal_only else "all",
        "split": how,
        "rows": {
            TRAIN: _counts(kept.where(split[split != ""] == TRAIN)),
            VALID: _counts(
                kept.where(split[split != ""] == VALID) if elsewhere is None else elsewhere.manifest
            ),
        },
        "images_without_text": empty,
        "synthetic": is_synthetic(kept),
    }
    return TrainingData(kept, record, tuple(notes))


def check_contrast(manifest: Manifest) -> None:
    """Refuse chosen rows that are all of one study: images of one study are not each other's negatives.

    Raises
    ------
    ManifestError
        There is nothing to tell apart.
    """
    rows = manifest.split(TRAIN)
    studies = np.where(rows.column("study") == "", rows.column("path"), rows.column("study"))
    if len(set(zip(rows.column("patient").tolist(), studies.tolist(), strict=True))) < 2:
        raise ManifestError(
            "only one study is left to train on: there is nothing to tell it from",
            where=rows.origin,
            remedy="give more images with a text or a label",
        )


def _check_names(dataset: str, choice: SplitChoice) -> None:
    if choice.valid_split is not None and choice.valid_split.lower() == choice.train_split.lower():
        raise UsageError(
            "what is trained on cannot be watched", where="--valid-split", remedy="name another split"
        )
    for option, name in (("--train-split", choice.train_split), ("--valid-split", choice.valid_split)):
        if name is not None and usual_split(name) == TEST:
            raise UsageError(
                "a test split is for measuring: what trains on it or is chosen by it cannot be judged by it",
                where=option,
                remedy="leave it to `tier eval`, or call the split otherwise",
            )


def _with_text(
    manifest: Manifest, train: Rows, frontal_only: bool, findings: FindingSet, notes: list[str]
) -> tuple[Rows, bool, int]:
    """The training rows that have a text, whether it is written from labels, and how many had none."""
    if frontal_only:
        lateral = train & lateral_rows(manifest)
        notes.append(f"lateral images not trained on: {int(lateral.sum())}")
        train = train & ~lateral
    numbers = np.flatnonzero(train)
    usable_rows, captions = usable(manifest.where(train), findings)
    chosen = train.copy()
    chosen[numbers[~usable_rows]] = False
    empty = int((~usable_rows).sum())
    if captions:
        notes.append("no reports: captions are written from labels; uncertain ones (-1) say nothing")
    notes += why_left_out(manifest.where(train), findings)
    return chosen, captions, empty


def _named(split: str | None) -> str:
    return "" if split is None else f", split {split}"


def _counts(rows: Manifest) -> dict[str, int]:
    return {
        "images": len(rows),
        "patients": len(set(rows.patients().tolist())),
        "texts": len(set(texts_of(rows)) - {""}),
    }
