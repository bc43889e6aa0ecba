"""Read CheXpert: train and valid of the download, small or full, and test with its radiologists' reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.datasets.build import build_manifest
from tier_cli.datasets.download import absent_split, find_table, wrong_root
from tier_cli.datasets.registry import DATASETS
from tier_cli.datasets.tables import read_table
from tier_cli.errors import ManifestError

if TYPE_CHECKING:
    import pandas as pd

    from tier_cli.datasets.manifest import Manifest

INFO = DATASETS["chexpert"]

LABELS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
# The radiologists whose reads did not enter the majority that made the labels.
_READERS = ("bc4", "bc6", "bc8")
_TABLES = {
    "train": ("train.csv",),
    "valid": ("valid.csv", "val_labels.csv"),
    "test": ("test_labels.csv", "test.csv"),
}
_STUDY_TABLE = "groundtruth.csv"
_BY_STUDY = {"train": (), "valid": (), "test": (f"{_STUDY_TABLE} with images in test/",)}
_FOLDERS = {"train": ("train",), "valid": ("valid", "val"), "test": ("test",)}
_TAIL = re.compile(r"(?:^|/)(patient\d+)/(study\d+)(?:/([^/]+))?$")
_BATCH = re.compile(r"CheXpert-v1\.0 batch \d+ \(train", re.IGNORECASE)
_FIVE_BY_200 = ("chexpert_5x200.csv", "chexpert_8x200.csv", "chexpert-5x200.csv", "chexpert-5x200-meta.csv")


@dataclass(frozen=True)
class Image:
    """The last three parts of an image's path."""

    patient: str
    study: str
    name: str


def read(root: Path, split: str | None) -> Manifest:
    """Read splits of CheXpert.

    Labels are kept: 1, 0, -1 = uncertain, blank = not mentioned. Test labels are per image
    (test_labels.csv) or, where only groundtruth.csv exists, those of the image's study.

    Raises
    ------
    ManifestError
        A table is missing or is not CheXpert's.
    """
    import pandas as pd

    from tier_cli.datasets.manifest import Manifest

    bases = base_folders(root)
    wanted = INFO.splits if split is None else (split,)
    parts = [part for name in wanted if (part := _split(root, bases, name)) is not None]
    if not parts:
        tables = [name for names in _TABLES.values() for name in names]
        if split is None or all(_table(root, bases, (name,)) is None for name in tables):
            raise wrong_root(INFO, root, "train.csv", "valid.csv", "test_labels.csv")
        raise absent_split(INFO, root, split, *_TABLES[split], *_BY_STUDY[split])
    frame = pd.concat([part.frame for part in parts], ignore_index=True).fillna("")
    notes = tuple(note for part in parts for note in part.notes)
    return Manifest(frame, ", ".join(part.origin for part in parts), str(root), notes)


def base_folders(root: Path) -> list[Path]:
    """Return the folders that may hold parts of CheXpert: the root and folders of its name, two deep."""
    named = _folders(root, "chexpert")
    holders = [*named, *_folders(root, "chexlocalize")]
    return [root, *named, *(path for holder in holders for path in _folders(holder, "chexpert"))]


def _folders(folder: Path, name: str) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.lower().startswith(name) and path.is_dir())


def image_of(path: str, where: Path) -> Image:
    """Split a `Path` cell into its last parts, whatever it starts with.

    Raises
    ------
    ManifestError
        The cell does not end in patientN/studyN.
    """
    match = _TAIL.search(path)
    if match is None:
        raise ManifestError(
            f"{path!r} does not end in patientN/studyN/image",
            where=f"{where}, column 'Path'",
            remedy="use the unchanged table of the download",
        )
    return Image(match[1], match[2], match[3] or "")


def image_paths(bases: Sequence[Path], table: Path, split: str, images: Sequence[Image]) -> list[str]:
    """Return the paths of a split's images: beside their table, in another base folder, or in batches."""
    places = [table.parent, *bases]
    folder = next((p / f for p in places for f in _FOLDERS[split] if (p / f).is_dir()), None)
    batches: dict[str, str] = {}
    if folder is None and split == "train":
        # The archives of the full-size download unpack to "CheXpert-v1.0 batch 2 (train 1)/patient00001/".
        for place in dict.fromkeys([*places, *(place.parent for place in places)]):
            for batch in sorted(path for path in place.iterdir() if _BATCH.match(path.name)):
                batches |= {patient.name: str(batch) for patient in batch.iterdir()}
    default = str(folder or table.parent / split)
    return [f"{batches.get(i.patient, default)}/{i.patient}/{i.study}/{i.name}" for i in images]


def view_of(name: str, side: str = "", projection: str = "") -> str:
    """Return LATERAL, AP, PA or, where no projection is given, FRONTAL; the file name fills blank columns."""
    if side.lower() == "lateral" or (not side and "lateral" in name):
        return "LATERAL"
    return projection if projection in ("AP", "PA") else "FRONTAL"


def list_5x200(bases: Iterable[Path]) -> Path | None:
    """Return the published list of CheXpert 5x200, where it exists."""
    return next((path for base in bases if (path := find_table(base, *_FIVE_BY_200))), None)


def _split(root: Path, bases: Sequence[Path], split: str) -> Manifest | None:
    table = _table(root, bases, _TABLES[split])
    if table is not None:
        return _by_image(root, bases, table, split)
    table = _table(root, bases, (_STUDY_TABLE,)) if split == "test" else None
    return None if table is None else _by_study(root, bases, table)


def _table(root: Path, bases: Sequence[Path], names: Sequence[str]) -> Path | None:
    """Return the first of `names` in the base folders."""
    for name in names:
        found = [path for base in bases if (path := find_table(base, name))]
        if len(found) > 1:
            raise ManifestError(
                f"{name} is in {len(found)} folders: {', '.join(path.parent.name for path in found)}",
                where=str(root),
                remedy="point --root at one of them",
            )
        if found:
            return found[0]
    return None


def _by_image(root: Path, bases: Sequence[Path], table: Path, split: str) -> Manifest:
    frame = read_table(
        table, ["Path", *COMPETITION], ["Sex", "Age", "Frontal/Lateral", "AP/PA", *_others(COMPETITION)]
    )
    notes: list[str] = []
    images = [image_of(path, table) for path in frame["Path"]]
    if split == "train" and (listed := list_5x200(bases)) is not None:
        kept = _outside(listed, images)
        notes.append(f"training images of patients in {listed.name}, left out: {len(images) - sum(kept)}")
        frame = frame[kept].reset_index(drop=True)
        images = [image for image, keep in zip(images, kept, strict=True) if keep]
    blank = [""] * len(frame)
    sides, projections = (list(frame.get(name, blank)) for name in ("Frontal/Lateral", "AP/PA"))
    columns: dict[str, Sequence[str] | pd.Series[str]] = {
        "path": image_paths(bases, table, split, images),
        **_keys(images, split),
        "view": [view_of(i.name, s, p) for i, s, p in zip(images, sides, projections, strict=True)],
        "sex": [{"male": "M", "female": "F"}.get(cell.lower(), "") for cell in frame.get("Sex", blank)],
        "age": ["" if cell in ("0", "0.0") else cell for cell in frame.get("Age", blank)],
        **{name: frame[name] for name in LABELS if name in frame},
    }
    if split == "test":
        columns |= _reads(bases, images, notes)
    return build_manifest(columns, table, root, notes)


def _by_study(root: Path, bases: Sequence[Path], table: Path) -> Manifest | None:
    """Read test labels of studies: every image on disk has the labels of its study. None without images."""
    frame = read_table(table, ["Study", *COMPETITION], _others(COMPETITION))
    studies = [image_of(path, table) for path in frame["Study"]]
    folder = next((base / "test" for base in bases if (base / "test").is_dir()), None)
    if folder is None:
        # The labels were published before the images: many copies have only the labels.
        return None
    images, rows = [], []
    for row, study in enumerate(studies):
        place = folder / study.patient / study.study
        found = sorted(path.name for path in place.glob("view*.*")) or ["view1_frontal.jpg"]
        images += [Image(study.patient, study.study, name) for name in found]
        rows += [row] * len(found)
    notes = [f"labels belong to {len(studies)} studies; every image has the labels of its study"]
    labels = frame.iloc[rows]
    columns: dict[str, Sequence[str] | pd.Series[str]] = {
        "path": [f"{folder}/{i.patient}/{i.study}/{i.name}" for i in images],
        **_keys(images, "test"),
        "view": [view_of(image.name) for image in images],
        **{name: labels[name] for name in LABELS if name in labels},
        **_reads(bases, images, notes),
    }
    return build_manifest(columns, table, root, notes)


def _keys(images: Sequence[Image], split: str) -> dict[str, list[str]]:
    return {
        "patient": [image.patient for image in images],
        "study": [f"{image.patient}/{image.study}" for image in images],
        "split": [split] * len(images),
        "source": [INFO.name] * len(images),
    }


def _others(known: Sequence[str]) -> list[str]:
    return [name for name in LABELS if name not in known]


def _outside(listed: Path, images: Sequence[Image]) -> list[bool]:
    """Return which images belong to patients that are not in the list."""
    from tier_cli.datasets.tables import table_columns

    column = next((name for name in ("Path", "imgpath") if name in table_columns(listed)), "Path")
    held = {image_of(path, listed).patient for path in read_table(listed, [column])[column]}
    return [image.patient not in held for image in images]


def _reads(bases: Sequence[Path], images: Sequence[Image], notes: list[str]) -> Mapping[str, list[str]]:
    """Return the benchmark radiologists' reads as columns ``reader:<name>:<finding id>``, joined by study.

    Their files swap Lung Lesion and Lung Opacity relative to groundtruth.csv, so columns are read by name.
    """
    folders = [base / inner for base in bases for inner in ("radiologists/benchmark_radiologists", "")]
    columns: dict[str, list[str]] = {}
    for reader in _READERS:
        table = next((path for folder in folders if (path := find_table(folder, f"{reader}.csv"))), None)
        if table is None:
            continue
        frame = read_table(table, ["Study", *COMPETITION], _others(COMPETITION))
        keys = [image_of(path, table) for path in frame["Study"]]
        rows = {(key.patient, key.study): row for row, key in enumerate(keys)}
        found = [rows.get((image.patient, image.study)) for image in images]
        for name in (name for name in LABELS if name in frame):
            cells = list(frame[name])
            column = f"reader:{reader}:{name.lower().replace(' ', '_')}"
            columns[column] = ["" if row is None else cells[row] for row in found]
    if columns:
        names = sorted({column.split(":")[1] for column in columns})
        notes.append(f"reads of {len(names)} radiologists, one per study: {', '.join(names)}")
    return columns
