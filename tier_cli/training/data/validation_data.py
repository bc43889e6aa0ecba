"""Data of their own to watch after each epoch: which rows of them, and that nobody in them is trained on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.datasets.registry import CSV, DATASETS, dataset_info, dataset_name, open_data, wanted_split
from tier_cli.datasets.views import lateral_rows
from tier_cli.errors import ManifestError, TierError, UsageError
from tier_cli.findings.load import builtin
from tier_cli.training.data.splits import TEST, VALID, VALID_NAMES, is_synthetic, labelled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import FindingSet

    Rows = NDArray[np.bool_]

# Data sets with the same patients under the same keys.
_FAMILIES = (
    ("nih14", "nih14-expert", "nih4-expert", "chestx-det10"),
    ("chexpert", "chexpert-5x200", "chexlocalize"),
    ("mimic-cxr", "ms-cxr"),
)
# Taken from NIH's images, under other names.
_NIH_RENAMED = ("rsna", "siim")
_OPTION = re.compile(r"--(data|dataset|root|split)\b")


@dataclass(frozen=True)
class ValidationData:
    """What is watched when it is not a part of the training data.

    Parameters
    ----------
    manifest
        Its frontal images with labels.
    dataset
        The name of a public data set, or ``csv``.
    findings
        What it is measured for.
    split
        Whose rows these are; None for all there are.
    """

    manifest: Manifest
    dataset: str
    findings: FindingSet
    split: str | None

    @property
    def title(self) -> str:
        """What people call it."""
        return Path(self.manifest.origin).name if self.dataset == CSV else dataset_info(self.dataset).title

    def record(self) -> dict[str, Any]:
        """What it is, for the record of the run: plain values, no paths, no keys of patients."""
        return {
            "dataset": None if self.dataset == CSV else self.dataset,
            "title": None if self.dataset == CSV else self.title,
            "split": self.split,
            "findings": self.findings.name,
            "synthetic": is_synthetic(self.manifest),
        }


def open_validation_data(
    dataset: str,
    data: Path | None,
    root: Path | None,
    split: str | None,
    findings: FindingSet | None,
    own: FindingSet,
) -> ValidationData:
    """Open what ``--valid-data`` or ``--valid-dataset`` names.

    Parameters
    ----------
    dataset, data, root
        As for `open_data`.
    split
        Its rows to watch; None for those called valid, or all where nothing is divided.
    findings
        What to measure, where it was named; else the data set's own set, or, for a manifest,
    own
        the checkpoint's.

    Raises
    ------
    UsageError
        A test split, or no other to watch.
    ManifestError
        What is on disk cannot be used, or no frontal image of it has a label.
    """
    if split is not None and split.strip().lower().startswith(TEST):
        raise UsageError(
            "test splits are for measuring", where="--valid-split", remedy="leave it to `tier eval`"
        )
    try:
        manifest, name = _opened(dataset_name(dataset), data, root, split)
    except TierError as error:
        raise _of_these_options(error) from error
    if findings is None:
        findings = own if dataset == CSV else builtin(dataset_info(dataset).findings)
    kept = manifest.where(~lateral_rows(manifest) & labelled(manifest, findings))
    if not len(kept):
        of = "" if name is None else f" of split {name!r}"
        raise ManifestError(
            f"no frontal image{of} has a label of {findings.name} to watch",
            where=manifest.origin,
            remedy="name the set of its labels with --findings, or other data",
        )
    return ValidationData(kept, dataset_name(dataset), findings, name)


def _opened(dataset: str, data: Path | None, root: Path | None, split: str | None) -> tuple[Manifest, Any]:
    """The rows to watch, and the name of their split."""
    if dataset == CSV:
        return _own_rows(open_data(CSV, data, root), split)
    info = dataset_info(dataset)
    usual = VALID if VALID in info.splits else info.default_split
    name = wanted_split(dataset, split or usual)
    if name == TEST or (name is None and TEST in info.splits):
        others = ", ".join(other for other in info.splits if other != TEST)
        raise UsageError(
            f"test splits are for measuring, and {info.title} has no split to watch of its own",
            where="--valid-split",
            remedy=f"name one of: {others}" if others else "watch another data set",
        )
    return open_data(dataset, data, root, name or "all"), name


def _own_rows(manifest: Manifest, split: str | None) -> tuple[Manifest, str | None]:
    if split is not None:
        return manifest.split(split), split
    splits = np.char.lower(manifest.column("split"))
    if not (splits != "").any():
        return manifest, None
    valid = np.isin(splits, VALID_NAMES)
    if not valid.any():
        raise ManifestError(
            "no image is in a split called valid",
            where=manifest.origin,
            remedy=f"name one with --valid-split; splits there: {', '.join(sorted(set(splits) - {''}))}",
        )
    return manifest.where(valid), VALID


def _of_these_options(error: TierError) -> TierError:
    """The same error by the names that the options have here."""
    where, remedy = (
        None if text is None else _OPTION.sub(r"--valid-\1", text) for text in (error.where, error.remedy)
    )
    return type(error)(error.what, where=where, remedy=remedy, kind=error.kind)


def without_validation_patients(
    manifest: Manifest, dataset: str, train: Rows, watched: ValidationData, notes: list[str]
) -> Rows:
    """The rows that train, none of a patient who is watched.

    Patients are compared where their keys can be the same: in two manifests, in data sets of the same images,
    and in a manifest whose column `source` names such a data set. Images are compared by where they lie.

    Raises
    ------
    ManifestError
        Patients or images of a manifest of one's own are in both. Public data sets of the same images are
        no mistake: what is watched is left out of training, and counted.
    """
    test = np.char.startswith(np.char.lower(manifest.column("split")), TEST) & ~train
    shared = np.zeros(len(manifest), dtype=bool)
    mine, theirs = _spaces(manifest, dataset), _spaces(watched.manifest, watched.dataset)
    for space in mine.keys() & theirs.keys():
        plain = space != CSV
        keys = np.array(_keys(manifest.patients(), plain), dtype=np.str_)
        others = np.array(_keys(watched.manifest.patients(), plain), dtype=np.str_)
        shared |= mine[space] & np.isin(keys, others[theirs[space]])
    if CSV in (dataset, watched.dataset):
        places = [os.path.realpath(path) for path in manifest.paths]
        shared |= np.isin(places, [os.path.realpath(path) for path in watched.manifest.paths])
        _refuse(manifest, train & shared, "trained on", watched)
        _refuse(manifest, test & shared, "in the test split", watched)
    elif (train & shared).any():
        notes.append(f"images of watched patients left out of training: {int((train & shared).sum())}")
    names = {dataset, watched.dataset}
    if len(names) > 1 and names & {*_NIH_RENAMED} and names <= {*_FAMILIES[0], *_NIH_RENAMED}:
        notes.append("some of the watched images may be trained on too: both data sets are made of NIH's")
    return train & ~shared


def _refuse(manifest: Manifest, shared: Rows, what: str, watched: ValidationData) -> None:
    if shared.any():
        patients = len(set(manifest.patients()[shared].tolist()))
        raise ManifestError(
            f"{patients} patients are both {what} and watched in {watched.title}",
            where=manifest.origin,
            remedy="take them out of one; keys that are the same by chance need a prefix in one of the two",
        )


def _spaces(manifest: Manifest, dataset: str) -> dict[str, Rows]:
    """Within what its keys of patients mean the same, and for which rows."""
    everywhere = np.ones(len(manifest), dtype=bool)
    if dataset != CSV:
        return {_family(dataset): everywhere}
    named = [dataset_name(str(name).strip().lower()) for name in manifest.column("source")]
    families = np.array([_family(name) for name in named], dtype=np.str_)
    known = set(families.tolist()) & {_family(name) for name in DATASETS}
    return {CSV: everywhere, **{family: families == family for family in known}}


def _family(dataset: str) -> str:
    return next((family[0] for family in _FAMILIES if dataset in family), dataset)


def _keys(patients: Iterable[Any], plain: bool) -> list[str]:
    """Keys to compare; those of public data sets without what one of them puts before the number."""
    return [re.sub(r"^(patient|p)?0*(?=\d+$)", "", str(key)) if plain else str(key) for key in patients]
