"""Read adjudicated labels of 4,374 ChestX-ray14 images, four findings (Majkowska et al., Radiology 2020)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.datasets.build import build_manifest
from tier_cli.datasets.download import absent_split, wrong_root
from tier_cli.datasets.readers.nih14 import image_paths, patient_columns
from tier_cli.datasets.readers.nih14_expert import find_expert, images_of, label_of
from tier_cli.datasets.registry import DATASETS
from tier_cli.datasets.tables import read_table

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest

LABELS = ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")
INFO = DATASETS["nih4-expert"]

_FOLDER = "four_findings_expert_labels"
_TABLES = {"valid": "validation_labels.csv", "test": "test_labels.csv"}
_PEOPLE = ("Patient ID", "Follow-up #", "Patient Age", "Patient Gender", "View Position")


def read(root: Path, split: str | None) -> Manifest:
    """Read the labels that three radiologists agreed on; images that were not adjudicated are blank.

    Raises
    ------
    ManifestError
        The table of a split is missing or has unexpected contents.
    """
    tables = {name: find_expert(root, _FOLDER, file) for name, file in _TABLES.items()}
    there = {name: table for name, table in tables.items() if table is not None}
    if not there:
        raise wrong_root(INFO, root, *(f"{_FOLDER}/{file}" for file in _TABLES.values()))
    if split is not None and split not in there:
        raise absent_split(INFO, root, split, f"{_FOLDER}/{_TABLES[split]}")
    place = images_of(root)
    columns: dict[str, list[str]] = {}
    for name, table in there.items():
        if split in (None, name):
            for column, cells in _rows(place, name, table).items():
                columns.setdefault(column, []).extend(cells)
    return build_manifest(columns, next(iter(there.values())).parent, place)


def _rows(place: Path, split: str, table: Path) -> dict[str, list[str]]:
    frame = read_table(table, ["Image Index", *LABELS], _PEOPLE)
    images = list(frame["Image Index"])
    return {
        "path": image_paths(place, images),
        **patient_columns(frame),
        "instance": [Path(image).stem for image in images],
        "split": [split] * len(images),
        "source": [INFO.name] * len(images),
        **{
            name: [
                label_of(cell, f"{table}, image {image}")
                for cell, image in zip(frame[name], images, strict=True)
            ]
            for name in LABELS
        },
    }
