"""Split a manifest into training, validation and test rows by patient."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from tier_cli.datasets.registry import CSV, dataset_info
from tier_cli.datasets.split_names import SPLIT_NAMES
from tier_cli.errors import ManifestError
from tier_cli.training.data.notes import Note

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.training.data.labels import LabelledRows
    from tier_cli.training.settings import SplitChoice

    Rows = NDArray[np.bool_]

TRAIN, VALID, TEST = "train", "valid", "test"
_SYNTHETIC = "synthetic"
VALID_NAMES = (VALID, *(name for name, usual in SPLIT_NAMES.items() if usual == VALID))

# Where the validation rows come from: the official lists of the data set, the manifest's column `split`,
# patients drawn from the training rows, separate data; or there are none.
How = Literal["official", "manifest", "drawn", "separate", "none"]


@dataclass(frozen=True)
class Division:
    """Training and validation rows, and how they were divided.

    Parameters
    ----------
    train, valid
        Which rows (N,) belong to each.
    how
        Where the validation rows come from.
    train_split, valid_split
        The splits that the rows are from; None for training rows from a manifest without splits, and for
        validation rows that are not a split of it.
    drawn
        Patients drawn for validation, out of how many, by which seed.
    """

    train: Rows
    valid: Rows
    how: How
    train_split: str | None
    valid_split: str | None = None
    drawn: tuple[int, int, int] | None = None


def describe(division: Division) -> str:
    """Return how rows were divided, in words for people."""
    if division.how == "official":
        return "by the official lists"
    if division.how == "manifest":
        return "as the manifest says"
    if division.drawn is not None:
        count, patients, seed = division.drawn
        return f"{count} of {patients} patients drawn for validation (--split-seed {seed})"
    name = division.train_split
    return "all of it trains" if name is None else f"rows of split {name} train"


def divide(rows: LabelledRows, dataset: str, choice: SplitChoice, notes: list[str]) -> Division:
    """Choose the training and the validation rows.

    Raises
    ------
    ManifestError
        No row is in a split that was named.
    """
    manifest = rows.manifest
    splits = np.char.lower(manifest.column("split"))
    undivided = not (splits != "").any() or (dataset != CSV and dataset_info(dataset).splits == ("all",))
    nothing = np.zeros(len(manifest), dtype=bool)
    if undivided:
        if choice.valid_split is not None:
            raise ManifestError(
                f"no image is in split {choice.valid_split!r}",
                where=manifest.origin,
                remedy="the data have no splits: leave out --valid-split to draw validation patients",
            )
        train = np.ones(len(manifest), dtype=bool)
    else:
        train = manifest.in_split(choice.train_split)
        if unnamed := int((splits == "").sum()):
            notes.append(Note.NO_SPLIT.text(images=unnamed))
    name = None if undivided else choice.train_split
    if choice.separate:
        return Division(train, nothing, "separate", name)
    if not undivided:
        named = choice.valid_split
        valid = (np.isin(splits, VALID_NAMES) if named is None else manifest.in_split(named)) & ~train
        if valid.any():
            how: How = "official" if dataset != CSV else "manifest"
            return Division(train, valid, how, name, named or VALID)
    return _draw_validation(rows, train, name, choice, notes)


def _draw_validation(
    rows: LabelledRows, train: Rows, train_split: str | None, choice: SplitChoice, notes: list[str]
) -> Division:
    """Draw validation patients from the training rows, if any of these has a label."""
    nothing = np.zeros(len(train), dtype=bool)
    if not choice.valid_share:
        notes.append(Note.NO_VALIDATION_SPLIT.text())
        return Division(train, nothing, "none", train_split)
    if not (train & rows.labelled()).any():
        notes.append(Note.NO_VALIDATION_LABELS.text(findings=rows.findings.name))
        return Division(train, nothing, "none", train_split)
    keys = np.array(_keys(rows.manifest), dtype=object)
    patients = sorted(set(keys[train]), key=lambda key: _rank(key, choice.split_seed))
    count = min(max(round(choice.valid_share * len(patients)), 1), len(patients) - 1)
    valid = train & np.isin(keys.astype(np.str_), np.array(patients[:count], dtype=np.str_))
    drawn = (count, len(patients), choice.split_seed)
    division = Division(train & ~valid, valid, "drawn", train_split, drawn=drawn)
    notes.append(Note.DRAWN.text(split=describe(division)))
    return division


def _rank(key: str, seed: int) -> str:
    """Return a patient's sort key: a hash, so that neither row order nor other patients change it."""
    return hashlib.sha256(f"{seed}\x1f{key}".encode()).hexdigest()


def _keys(manifest: Manifest) -> list[str]:
    """Return one patient key per row as `Manifest.patients`, independent of where the images are stored."""
    start = "image:"
    return [
        start + os.path.relpath(key.removeprefix(start), manifest.root) if key.startswith(start) else key
        for key in manifest.patients().tolist()
    ]


def is_synthetic(manifest: Manifest) -> bool:
    """Return whether the column `source` calls any image synthetic."""
    return any(_SYNTHETIC in str(source).lower() for source in manifest.column("source"))


def without_leaks(
    manifest: Manifest, dataset: str, division: Division, choice: SplitChoice, notes: list[str]
) -> Rows:
    """Return the training rows without patients of the validation and test rows.

    Raises
    ------
    ManifestError
        A patient of the user's own manifest is in two splits. The official lists of some public data sets
        divide images, not patients: there, patients of other splits are left out of training.
    """
    train, valid = division.train, division.valid
    test = np.char.startswith(np.char.lower(manifest.column("split")), TEST) & ~train & ~valid
    patients = manifest.patients()
    names = (choice.train_split, choice.valid_split or VALID, TEST)
    leaking = np.zeros(len(manifest), dtype=bool)
    for (one, rows), (other, others) in combinations(zip(names, (train, valid, test), strict=True), 2):
        both = sorted(set(patients[rows].tolist()) & set(patients[others].tolist()))
        if not both:
            continue
        if dataset == CSV or rows is not train:
            raise ManifestError(
                f"{len(both)} patients are in both {one!r} and {other!r}",
                where=manifest.origin,
                remedy="split by patient; `tier data inspect` lists some of them",
            )
        leaking |= train & np.isin(patients, np.array(both, dtype=np.str_))
    if leaking.any():
        notes.append(Note.PATIENTS_OF_OTHER_SPLITS.text(images=int(leaking.sum())))
    return train & ~leaking
