"""Find the evaluated rows that a checkpoint was trained on, by its own records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.datasets.identity import data_sets_of, image_keys, patient_keys
from tier_cli.datasets.registry import CSV, dataset_info, may_share_images, patient_namespace
from tier_cli.datasets.split_names import usual_split
from tier_cli.errors import CheckpointError, ManifestError
from tier_cli.files.hashes import file_hash
from tier_cli.model.checkpoint import TRAINING, read_json
from tier_cli.model.trained_on import TrainedOn, read_trained_on

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.selection import Selection
    from tier_cli.model.checkpoint import Checkpoint

OPTION = "--exclude-trained"


@dataclass(frozen=True)
class Seen:
    """The rows of an evaluation that a checkpoint was trained on.

    Parameters
    ----------
    model
        The checkpoint.
    rows
        How many rows were looked at.
    images, patients
        How many of their images it was trained on; and how many others are of patients it was trained on.
    possible
        Titles of the public data sets it was trained on that share images with these rows under other names.
    left_out
        Whether these rows were left out of the evaluation.
    """

    model: str
    rows: int
    images: int
    patients: int
    possible: tuple[str, ...]
    left_out: bool = False

    def __bool__(self) -> bool:
        return bool(self.images or self.patients or self.possible)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of the JSON document."""
        return {
            "model": self.model,
            "rows": self.rows,
            "images": self.images,
            "images_of_trained_patients": self.patients,
            "may_share_images_with": list(self.possible),
            "left_out": self.left_out,
        }

    @property
    def text(self) -> str:
        """Say in one sentence what was found and what to do."""
        parts = []
        if self.images or self.patients:
            of = f"{self.model} was trained on {self.images} of these {self.rows} images"
            others = f"{of}, and on other images of the patients of {self.patients} more"
            advice = (
                "they were left out"
                if self.left_out
                else f"the numbers say little about new images; leave these rows out with {OPTION}"
            )
            parts.append(f"{others if self.patients else of}: {advice}")
        if self.possible:
            parts.append(
                f"{self.model} was trained on images of {' and '.join(self.possible)}, some of which may be"
                " among these under other names: they cannot be compared"
            )
        return "; ".join(parts)


def seen_by(
    checkpoints: Iterable[Checkpoint], manifest: Manifest, dataset: str
) -> tuple[list[Seen], NDArray[np.bool_]]:
    """Find the rows of a manifest that checkpoints were trained on.

    Parameters
    ----------
    checkpoints
        The checkpoints; one without a list of its training images is passed over.
    manifest, dataset
        The rows, and ``csv`` or the public data set that they were read from.

    Returns
    -------
    tuple
        One entry per checkpoint that was, or may have been, trained on any of them; and which rows (N,) are
        images or patients that any of the checkpoints was trained on.
    """
    keys: tuple[list[frozenset[str]], list[frozenset[str]]] | None = None
    every = np.zeros(len(manifest), dtype=bool)
    found: dict[str, Seen] = {}
    for one in checkpoints:
        runs = _runs(one)
        if not runs:
            continue
        keys = keys or (image_keys(manifest, dataset), patient_keys(manifest, dataset))
        images, patients = (np.zeros(len(manifest), dtype=bool) for _ in range(2))
        for run in runs:
            images |= np.array([run.has_image(row) for row in keys[0]], dtype=bool)
            patients |= np.array([run.has_patient(row) for row in keys[1]], dtype=bool)
        every |= images | patients
        others = int((patients & ~images).sum())
        possible = _possible(runs, manifest, dataset)
        found[str(one.path)] = Seen(one.name, len(manifest), int(images.sum()), others, possible)
    return [one for one in found.values() if one], every


def without_seen(
    checkpoints: Sequence[Checkpoint], selection: Selection, dataset: str, exclude: bool
) -> tuple[Selection, tuple[Seen, ...]]:
    """Return the rows to use and what checkpoints have seen of them.

    Parameters
    ----------
    checkpoints
        The models that are evaluated.
    selection
        The selected rows.
    dataset
        Where the rows come from, as in `seen_by`.
    exclude
        Whether to leave out the images and patients that any checkpoint was trained on.

    Raises
    ------
    ManifestError
        No row is left.
    """
    found, rows = seen_by(checkpoints, selection.manifest, dataset)
    if not (exclude and rows.any()):
        return selection, tuple(found)
    if rows.all():
        raise ManifestError(
            f"no image is left: all {len(rows)} are images or patients that the model was trained on",
            where=selection.manifest.origin,
            remedy="use other images",
        )
    kept = replace(
        selection,
        manifest=selection.manifest.where(~rows),
        excluded=(*selection.excluded, OPTION),
        notes=(
            *selection.notes,
            f"images of trained images and patients left out ({OPTION}): {int(rows.sum())} of {len(rows)}",
        ),
    )
    return kept, tuple(replace(one, left_out=True) for one in found)


def trained_on_notes(checkpoints: Iterable[Checkpoint], selection: Selection) -> list[str]:
    """Return one note per checkpoint that was trained on rows of the same file and split.

    Parameters
    ----------
    checkpoints
        The checkpoints; one without a training.json gets no note, because nothing is known about it. One
        with a list of its training images gets none either: `seen_by` knows more.
    selection
        The rows that are evaluated.
    """
    table = Path(selection.manifest.origin)
    return [
        f"{one.name} was trained on rows of {table.name}, as its {TRAINING} says: numbers on images that it "
        "has seen say little about others"
        for one in checkpoints
        if not _runs(one) and _trained_on(_record(one), table, selection.split)
    ]


def _runs(checkpoint: Checkpoint) -> tuple[TrainedOn, ...]:
    # Not every checkpoint of Python callers is a folder.
    path = getattr(checkpoint, "path", None)
    return () if path is None else read_trained_on(path)


def _possible(runs: Sequence[TrainedOn], manifest: Manifest, dataset: str) -> tuple[str, ...]:
    """Return the titles of the data sets that share images with the rows, where keys cannot tell which."""
    here = data_sets_of(manifest, dataset)
    nameless = dataset != CSV and bool((manifest.column("patient") == "").any())
    titles: dict[str, None] = {}
    for run in runs:
        # A later version may know more data sets.
        for source in (name for name in run.sources if patient_namespace(name)):
            for name in sorted(here):
                same = patient_namespace(source) == patient_namespace(name) and not nameless
                if not same and may_share_images(source, name):
                    titles[dataset_info(source).title] = None
    return tuple(titles)


def _record(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the record of the training data; empty if there is no readable record."""
    file = checkpoint.path / TRAINING
    try:
        data = read_json(file).get("data") if file.is_file() else None
    except CheckpointError:
        return {}
    return data if isinstance(data, dict) else {}


def _trained_on(record: dict[str, Any], table: Path, split: str) -> bool:
    known = record.get("manifest_sha256")
    seen = _may_overlap(record, usual_split(split))
    return known is not None and seen and table.is_file() and known == file_hash(table)


def _may_overlap(record: dict[str, Any], split: str) -> bool:
    """Return whether training rows may lie in a split of the same file."""
    if "train_split" not in record:
        # Older records do not name the split; a test split was never trained on.
        return split != "test"
    trained = record["train_split"]
    return trained is None or split in ("all", usual_split(str(trained)))
