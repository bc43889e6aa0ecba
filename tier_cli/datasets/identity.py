"""Name the images and patients of a manifest so that the rows of different data can be compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.datasets.registry import CSV, DATASETS, dataset_name, patient_namespace

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest

_SUFFIXES = re.compile(r"(\.(png|jpe?g|dcm|dicom|tiff?|bmp|webp))+$", re.IGNORECASE)
# A file name with this many digits names one image in the world; `view1_frontal` does not.
_MANY_DIGITS = 7
_FOLDERS = 2


def plain_patient(key: str) -> str:
    """Return a patient key of a public data set without prefix (``patient``, ``p``) and leading zeros."""
    return re.sub(r"^(patient|p)?0*(?=\d+$)", "", key)


def patient_keys(manifest: Manifest, dataset: str) -> list[frozenset[str]]:
    """Return the keys of each row's patient, each with its namespace; none where the patient is unknown.

    A row of a manifest has a key of its own, one of the public data set that its column `source` names, and
    one of the data set whose file names contain the patient, as those of ChestX-ray14 do.

    Parameters
    ----------
    manifest, dataset
        The rows, and ``csv`` or the public data set that they were read from.
    """
    return [
        _patient_keys(patient.strip(), source.strip().lower(), _stem(path))
        for patient, source, path in zip(
            manifest.column("patient").tolist(), _sources(manifest, dataset), manifest.paths, strict=True
        )
    ]


def image_keys(manifest: Manifest, dataset: str) -> list[frozenset[str]]:
    """Return the keys of each row's image, which do not depend on where the image is stored.

    A file name with many digits is enough. Any other name is told apart by the patient and the study or,
    where the patient is unknown, by the folders of the file.

    Parameters
    ----------
    manifest, dataset
        As for `patient_keys`.
    """
    studies = [str(study).rsplit("/", 1)[-1].strip() for study in manifest.column("study").tolist()]
    patients = patient_keys(manifest, dataset)
    return [
        _image_keys(path, keys, study)
        for path, keys, study in zip(manifest.paths, patients, studies, strict=True)
    ]


def data_sets_of(manifest: Manifest, dataset: str) -> frozenset[str]:
    """Return the public data sets that rows are from, as far as the data set, `source` or names tell."""
    named = {dataset_name(source.strip().lower()) for source in set(_sources(manifest, dataset))}
    by_name = {name for stem in map(_stem, manifest.paths) for name, _ in _patients_in_name(stem)}
    return frozenset(named & DATASETS.keys() | by_name)


def _sources(manifest: Manifest, dataset: str) -> list[str]:
    if dataset != CSV:
        return [dataset_name(dataset)] * len(manifest)
    return [str(source) for source in manifest.column("source").tolist()]


def _patient_keys(patient: str, source: str, stem: str) -> frozenset[str]:
    keys = {f"{DATASETS[name].patient_namespace}:{plain}" for name, plain in _patients_in_name(stem)}
    if patient:
        namespace = patient_namespace(source)
        keys.add(f"{namespace}:{plain_patient(patient)}" if namespace else f"{CSV}:{patient}")
    return frozenset(keys)


def _image_keys(path: str, patients: frozenset[str], study: str) -> frozenset[str]:
    stem = _stem(path)
    if sum(character.isdigit() for character in stem) >= _MANY_DIGITS:
        return frozenset([stem])
    if patients:
        return frozenset(f"{patient}/{study}/{stem}" for patient in patients)
    folders = [part.lower() for part in Path(path).parent.parts[-_FOLDERS:]]
    return frozenset(["/".join([*folders, stem])])


def _patients_in_name(stem: str) -> list[tuple[str, str]]:
    """Return data set and patient of a file name that contains the patient."""
    return [
        (name, plain_patient(match[1]))
        for name, pattern in _PATIENT_IN_NAME.items()
        if (match := pattern.fullmatch(stem))
    ]


def _stem(path: str) -> str:
    return _SUFFIXES.sub("", Path(path).name).lower()


_PATIENT_IN_NAME = {
    name: re.compile(info.patient_in_name)
    for name, info in DATASETS.items()
    if info.patient_in_name is not None
}
