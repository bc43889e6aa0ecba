"""Which rows train, which are watched, and which are left alone: by patient."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.datasets.registry import CSV, SPLIT_NAMES, dataset_info
from tier_cli.errors import ManifestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import FindingSet

    Rows = NDArray[np.bool_]

TRAIN, VALID, TEST = "train", "valid", "test"
_SYNTHETIC = "synthetic"
VALID_NAMES = (VALID, *(name for name, usual in SPLIT_NAMES.items() if usual == VALID))


@dataclass(frozen=True)
class SplitChoice:
    """Which rows train and which are watched.

    Parameters
    ----------
    train_split, valid_split
        Values of the `split` column; None watches the split that is called valid, where there is one.
    valid_share, split_seed
        Without such a split, this share of the training patients is watched; the seed says which.
    frontal_only
        Train on frontal views alone. Lateral views are never watched, as `tier eval` leaves them out.
    elsewhere
        Other data are watched: nothing is drawn, and rows of the split called valid are left alone.
    """

    train_split: str = TRAIN
    valid_split: str | None = None
    valid_share: float = 0.1
    split_seed: int = 0
    frontal_only: bool = False
    elsewhere: bool = False


def divide(
    manifest: Manifest, dataset: str, choice: SplitChoice, findings: FindingSet, notes: list[str]
) -> tuple[Rows, Rows, str]:
    """Rows that train and that are watched, and how they were told apart."""
    splits = np.char.lower(manifest.column("split"))
    undivided = not (splits != "").any() or (dataset != CSV and dataset_info(dataset).splits == ("all",))
    if undivided:
        if choice.valid_split is not None:
            raise ManifestError(
                f"no image is in split {choice.valid_split!r}",
                where=manifest.origin,
                remedy="there are no splits: leave out --valid-split, and patients are drawn",
            )
        train = np.ones(len(manifest), dtype=bool)
    else:
        train = manifest.in_split(choice.train_split)
        if unnamed := int((splits == "").sum()):
            notes.append(f"images without a split left out: {unnamed}")
    valid = np.zeros(len(manifest), dtype=bool)
    if choice.elsewhere:
        return train, valid, "all of it trains" if undivided else f"rows of split {choice.train_split} train"
    if not undivided:
        named = choice.valid_split
        valid = (np.isin(splits, VALID_NAMES) if named is None else manifest.in_split(named)) & ~train
    if valid.any():
        return train, valid, "by the official lists" if dataset != CSV else "as the manifest says"
    return _drawn(manifest, train, choice, findings, notes)


def _drawn(
    manifest: Manifest, train: Rows, choice: SplitChoice, findings: FindingSet, notes: list[str]
) -> tuple[Rows, Rows, str]:
    """Take patients to watch out of those to train on, where there is something to watch."""
    nothing = np.zeros(len(manifest), dtype=bool)
    if not choice.valid_share:
        notes.append("nothing is watched: no split for it, and --valid-share 0")
        return train, nothing, "all of it trains"
    if not (train & labelled(manifest, findings)).any():
        notes.append(f"nothing is watched: no image has a label of {findings.name}")
        return train, nothing, "all of it trains"
    keys = np.array(_keys(manifest), dtype=object)
    patients = sorted(set(keys[train]), key=lambda key: _draw(key, choice.split_seed))
    count = min(max(round(choice.valid_share * len(patients)), 1), len(patients) - 1)
    valid = train & np.isin(keys.astype(np.str_), np.array(patients[:count], dtype=np.str_))
    how = f"{count} of {len(patients)} patients drawn to be watched (--split-seed {choice.split_seed})"
    notes.append(f"no split to watch: {how}")
    return train & ~valid, valid, how


def _draw(key: str, seed: int) -> str:
    """Where a patient stands among all: hashed, so that the order of rows and other patients matter not."""
    return hashlib.sha256(f"{seed}\x1f{key}".encode()).hexdigest()


def _keys(manifest: Manifest) -> list[str]:
    """One key a row as `Manifest.patients`, the same wherever the images lie."""
    start = "image:"
    return [
        start + os.path.relpath(key.removeprefix(start), manifest.root) if key.startswith(start) else key
        for key in manifest.patients().tolist()
    ]


def is_synthetic(manifest: Manifest) -> bool:
    """Whether any image says that it was drawn, not taken."""
    return any(_SYNTHETIC in str(source).lower() for source in manifest.column("source"))


def labelled(manifest: Manifest, findings: FindingSet) -> Rows:
    """Which rows (N,) have a label that says yes or no to one of the findings."""
    return np.asarray(np.isin(manifest.labels(findings), (0, 1)).any(axis=1), dtype=bool)


def without_leaks(
    manifest: Manifest, dataset: str, train: Rows, valid: Rows, choice: SplitChoice, notes: list[str]
) -> Rows:
    """The rows that train, none of a patient who is watched or in the test split.

    Raises
    ------
    ManifestError
        Patients of a manifest of one's own are in two of them. The official lists of some data sets divide
        images, not patients: then the other split keeps its patients.
    """
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
                remedy="split by patient; `tier data inspect` shows some",
            )
        leaking |= train & np.isin(patients, np.array(both, dtype=np.str_))
    if leaking.any():
        notes.append(f"images of patients of other splits left out of training: {int(leaking.sum())}")
    return train & ~leaking
