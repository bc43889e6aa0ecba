"""Open separate validation data, and keep their patients out of the training rows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.datasets.identity import plain_patient
from tier_cli.datasets.opening import open_data, wanted_split
from tier_cli.datasets.registry import CSV, dataset_info, dataset_name, may_share_images, patient_namespace
from tier_cli.datasets.views import lateral_rows
from tier_cli.errors import ManifestError, TierError, UsageError
from tier_cli.findings.load import builtin
from tier_cli.training.data.labels import LabelledRows, label_rows
from tier_cli.training.data.notes import Note
from tier_cli.training.data.splits import TEST, VALID, VALID_NAMES, is_synthetic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import FindingSet

    Rows = NDArray[np.bool_]

_OPTION = re.compile(r"--(data|dataset|root|split)\b")


@dataclass(frozen=True)
class ValidationData:
    """Validation data that are not a part of the training data.

    Parameters
    ----------
    rows
        The frontal images with labels of the findings to validate on.
    dataset
        The name of a public data set, or ``csv``.
    split
        The split of the rows; None if all rows are used.
    """

    rows: LabelledRows
    dataset: str
    split: str | None

    @property
    def manifest(self) -> Manifest:
        """The rows, without their labels."""
        return self.rows.manifest

    @property
    def findings(self) -> FindingSet:
        """The finding set to validate on."""
        return self.rows.findings

    @property
    def title(self) -> str:
        """The name of the data for people."""
        if self.dataset == CSV:
            return Path(self.manifest.origin).name
        return dataset_info(self.dataset).title

    def record(self) -> dict[str, Any]:
        """Return a description for the record of the run: plain values, no paths, no patient keys."""
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
    """Open the validation data that ``--valid-data`` or ``--valid-dataset`` names.

    Parameters
    ----------
    dataset, data, root
        As for `open_data`.
    split
        The split to use; None uses the split called valid, or all rows of data without splits.
    findings
        The finding set that the user named; None uses the data set's own, or for a manifest `own`.
    own
        The finding set of the checkpoint.

    Raises
    ------
    UsageError
        A test split was named, or the data set has only a test split.
    ManifestError
        The data on disk cannot be used, or no frontal image has a label.
    """
    if split is not None and split.strip().lower().startswith(TEST):
        raise UsageError(
            "a test split is for evaluation", where="--valid-split", remedy="leave it to `tier eval`"
        )
    try:
        manifest, name = _opened(dataset_name(dataset), data, root, split)
    except TierError as error:
        raise _with_option_names(error) from error
    if findings is None:
        findings = own if dataset == CSV else builtin(dataset_info(dataset).findings)
    rows = label_rows(manifest, findings)
    kept = rows.where(~lateral_rows(manifest) & rows.labelled())
    if not len(kept):
        of = "" if name is None else f" of split {name!r}"
        raise ManifestError(
            f"no frontal image{of} has a label of {findings.name} to validate on",
            where=manifest.origin,
            remedy="name the finding set of its labels with --findings, or use other data",
        )
    return ValidationData(kept, dataset_name(dataset), name)


def _opened(dataset: str, data: Path | None, root: Path | None, split: str | None) -> tuple[Manifest, Any]:
    """Return the validation rows of a data set or manifest, and the name of their split."""
    if dataset == CSV:
        return _own_rows(open_data(CSV, data, root), split)
    info = dataset_info(dataset)
    usual = VALID if VALID in info.splits else info.default_split
    name = wanted_split(dataset, split or usual)
    if name == TEST or (name is None and TEST in info.splits):
        others = ", ".join(other for other in info.splits if other != TEST)
        raise UsageError(
            f"test splits are for evaluation, and {info.title} has no validation split",
            where="--valid-split",
            remedy=f"name one of: {others}" if others else "validate on another data set",
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


def _with_option_names(error: TierError) -> TierError:
    """Return the error with the option names of the validation data."""
    where, remedy = (
        None if text is None else _OPTION.sub(r"--valid-\1", text) for text in (error.where, error.remedy)
    )
    return type(error)(error.what, where=where, remedy=remedy, kind=error.kind)


def without_validation_patients(
    manifest: Manifest, dataset: str, train: Rows, validation: ValidationData, notes: list[str]
) -> Rows:
    """Return the training rows without patients and images of the validation data.

    Patients are compared where their keys can be equal: in two manifests, in data sets of the same images,
    and in a manifest whose column `source` names such a data set. Images are compared by path.

    Raises
    ------
    ManifestError
        A patient or an image of the user's own manifest is in both. Public data sets may share images: then
        validation patients are left out of training, and counted in a note.
    """
    test = np.char.startswith(np.char.lower(manifest.column("split")), TEST) & ~train
    shared = np.zeros(len(manifest), dtype=bool)
    held_out = validation.manifest
    mine, theirs = _namespaces(manifest, dataset), _namespaces(held_out, validation.dataset)
    for namespace in mine.keys() & theirs.keys():
        plain = namespace != CSV
        keys = np.array(_keys(manifest.patients(), plain), dtype=np.str_)
        others = np.array(_keys(held_out.patients(), plain), dtype=np.str_)
        shared |= mine[namespace] & np.isin(keys, others[theirs[namespace]])
    if CSV in (dataset, validation.dataset):
        places = [os.path.realpath(path) for path in manifest.paths]
        shared |= np.isin(places, [os.path.realpath(path) for path in held_out.paths])
        _refuse(manifest, train & shared, "training", validation)
        _refuse(manifest, test & shared, "test", validation)
        return train & ~shared
    if (train & shared).any():
        notes.append(Note.VALIDATION_PATIENTS.text(images=int((train & shared).sum())))
    if dataset != validation.dataset and may_share_images(dataset, validation.dataset):
        comparable = bool(mine.keys() & theirs.keys()) and not any(
            (data.column("patient") == "").any() for data in (manifest, held_out)
        )
        if not comparable:
            notes.append(
                Note.SHARED_IMAGES.text(train=dataset_info(dataset).title, validation=validation.title)
            )
    return train & ~shared


def _refuse(manifest: Manifest, shared: Rows, which: str, validation: ValidationData) -> None:
    if shared.any():
        patients = len(set(manifest.patients()[shared].tolist()))
        raise ManifestError(
            f"{patients} patients are both in the {which} rows and in the validation data {validation.title}",
            where=manifest.origin,
            remedy="remove them from one of the two; if the keys are equal by chance, add a prefix in one",
        )


def _namespaces(manifest: Manifest, dataset: str) -> dict[str, Rows]:
    """Map each patient-key namespace to its rows."""
    everywhere = np.ones(len(manifest), dtype=bool)
    if dataset != CSV:
        return {patient_namespace(dataset): everywhere}
    sources = [patient_namespace(str(name)) for name in manifest.column("source")]
    namespaces = np.array(sources, dtype=np.str_)
    known = set(sources) - {""}
    return {CSV: everywhere, **{namespace: namespaces == namespace for namespace in known}}


def _keys(patients: Iterable[Any], plain: bool) -> list[str]:
    """Return the keys to compare; those of public data sets as `plain_patient` gives them."""
    return [plain_patient(str(key)) if plain else str(key) for key in patients]
