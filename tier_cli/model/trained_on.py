"""Write and read which images and patients a checkpoint was trained on, as hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import read_json, write_json

TRAINED_ON = "trained_on.json"
_FORMAT = 1
# 12 hex digits: of a million keys compared with half a million, fewer than one in 500 is equal by chance.
_DIGITS = 12
_REMEDY = "download the checkpoint again"


@dataclass(frozen=True)
class TrainedOn:
    """The images and patients of one training run, without their names.

    Parameters
    ----------
    run
        The name of the checkpoint that the run wrote.
    sources
        The public data sets that the images are from, by their names in the registry.
    salt
        Goes into every hash, so that the lists of two runs on different data cannot be compared with each
        other.
    count
        How many images there were.
    images, patients
        Hashes of their keys; see `hashed`.
    """

    run: str
    sources: tuple[str, ...]
    salt: str
    count: int
    images: frozenset[str]
    patients: frozenset[str]

    def has_image(self, keys: Iterable[str]) -> bool:
        """Return whether one of an image's keys is among those trained on."""
        return any(hashed(self.salt, "image", key) in self.images for key in keys)

    def has_patient(self, keys: Iterable[str]) -> bool:
        """Return whether one of a patient's keys is among those trained on."""
        return any(hashed(self.salt, "patient", key) in self.patients for key in keys)


def hashed(salt: str, kind: str, key: str) -> str:
    """Return the first 12 hex digits of the SHA-256 of salt, kind and key, with line breaks between them."""
    return hashlib.sha256(f"{salt}\n{kind}\n{key}".encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]


def describe_run(
    run: str,
    sources: Collection[str],
    salt: str,
    images: Iterable[Collection[str]],
    patients: Iterable[Collection[str]],
) -> TrainedOn:
    """Hash the keys of a run's images.

    Parameters
    ----------
    run, sources, salt
        See `TrainedOn`.
    images, patients
        The keys of each image, and of the patient of each image.
    """
    rows = list(images)
    return TrainedOn(
        run,
        tuple(sorted(sources)),
        salt,
        len(rows),
        frozenset(hashed(salt, "image", key) for keys in rows for key in keys),
        frozenset(hashed(salt, "patient", key) for keys in patients for key in keys),
    )


def read_trained_on(folder: Path) -> tuple[TrainedOn, ...]:
    """Return the runs that led to a checkpoint; none where nothing is recorded.

    Raises
    ------
    CheckpointError
        The file cannot be read.
    """
    file = folder / TRAINED_ON
    if not file.is_file():
        return ()
    content = read_json(file)
    if content.get("format") != _FORMAT:
        raise CheckpointError(
            f"has format {content.get('format')}, not {_FORMAT}", where=str(file), remedy=_REMEDY
        )
    try:
        return tuple(_parsed(run) for run in content["runs"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError("does not list runs", where=str(file), remedy=_REMEDY) from error


def write_trained_on(folder: Path, runs: Iterable[TrainedOn]) -> None:
    """Write the runs that led to a checkpoint, one entry per run even if several checkpoints share it."""
    unique = {(one.salt, one.images, one.patients): one for one in runs}
    content = {
        "format": _FORMAT,
        "hash": f"first {_DIGITS} hex digits of the SHA-256 of salt, 'image' or 'patient', and key",
        "runs": [_document(one) for one in unique.values()],
    }
    write_json(folder / TRAINED_ON, content)


def _document(one: TrainedOn) -> dict[str, Any]:
    # One string per list: half a million lines of indented JSON would take three times the space.
    return {
        "run": one.run,
        "sources": list(one.sources),
        "salt": one.salt,
        "count": one.count,
        "images": " ".join(sorted(one.images)),
        "patients": " ".join(sorted(one.patients)),
    }


def _parsed(run: dict[str, Any]) -> TrainedOn:
    return TrainedOn(
        str(run["run"]),
        tuple(map(str, run["sources"])),
        str(run["salt"]),
        int(run["count"]),
        frozenset(str(run["images"]).split()),
        frozenset(str(run["patients"]).split()),
    )
