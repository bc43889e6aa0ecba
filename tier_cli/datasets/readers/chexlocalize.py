"""Read CheXlocalize (Saporta et al., Nature Machine Intelligence 2022): masks for CheXpert images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.datasets.build import build_manifest
from tier_cli.datasets.download import absent_split, find_table, first_folder, wrong_root
from tier_cli.datasets.regions import Region, image_size, mask_cell
from tier_cli.datasets.registry import DATASETS
from tier_cli.datasets.rle import from_coco, from_polygons
from tier_cli.datasets.tables import read_json, read_table, table_columns
from tier_cli.errors import ManifestError
from tier_cli.findings.load import builtin

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest

INFO = DATASETS["chexlocalize"]

# The data set's own name of each split, its tables, and the folders of its images.
_NAMES = {"valid": "val", "test": "test"}
_TABLES = {"valid": ("val_labels.csv", "valid.csv"), "test": ("test_labels.csv", "test.csv")}
_FOLDERS = {"valid": ("val", "valid"), "test": ("test",)}
_KEY = re.compile(r"(patient\d+)[_/](study\d+)[_/](view\w+?)(?:\.jpg)?$")
# CheXlocalize's name -> CheXpert's.
_TASKS = {"Airspace Opacity": "Lung Opacity"}


def read(root: Path, split: str | None) -> Manifest:
    """Read masks, and labels where CheXpert's tables exist.

    With a table every image of the split is a row, and images without a marked finding have no mask. Without
    one, only the images with masks are rows, and all labels are blank.

    Raises
    ------
    ManifestError
        The masks are missing or have unexpected contents.
    """
    masks_at = _nearest(root, "CheXlocalize")
    images_at = _nearest(root, "CheXpert")
    columns: dict[str, list[str]] = {}
    notes: list[str] = []
    for name in INFO.splits:
        file = _masks_file(masks_at, name)
        if split in (None, name) and file is not None:
            for column, cells in _rows(images_at, name, file, notes).items():
                columns.setdefault(column, []).extend(cells)
    if not columns:
        files = {name: f"gt_segmentations_{own}.json" for name, own in _NAMES.items()}
        if split is None or not any(_masks_file(masks_at, name) for name in INFO.splits):
            raise wrong_root(INFO, masks_at, *files.values())
        raise absent_split(INFO, masks_at, split, files[split])
    return build_manifest(columns, masks_at, root, notes)


def _nearest(root: Path, name: str) -> Path:
    """Return the part of the download called `name`: below the root, beside it, or the root itself."""
    return first_folder((root / name, root.parent / name)) or root


def _masks_file(folder: Path, split: str) -> Path | None:
    names = (f"gt_segmentations_{_NAMES[split]}.json", f"gt_annotations_{_NAMES[split]}.json")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _rows(images_at: Path, split: str, file: Path, notes: list[str]) -> dict[str, list[str]]:
    masks = _masks(file)
    table = find_table(images_at, *_TABLES[split])
    findings = {finding.id: [""] * len(masks) for finding in builtin(INFO.findings).findings}
    keys = list(masks)
    if table is None:
        notes.append(f"{split}: no labels, as {_TABLES[split][0]} is missing")
    else:
        keys, labels = _labels(table)
        findings = {name: labels.get(name, [""] * len(keys)) for name in findings}
        lost = set(masks).difference(keys)
        if lost:
            notes.append(f"{split}: images with masks that are not in {table.name}: {len(lost)}")
    folder = first_folder(images_at / name for name in _FOLDERS[split]) or images_at / _FOLDERS[split][0]
    parts = [key.split("_", 2) for key in keys]
    return {
        "path": [str(folder / patient / study / f"{view}.jpg") for patient, study, view in parts],
        "patient": [patient for patient, _, _ in parts],
        "study": [f"{patient}/{study}" for patient, study, _ in parts],
        "instance": keys,
        "view": ["LATERAL" if "lateral" in view else "FRONTAL" for _, _, view in parts],
        "split": [split] * len(keys),
        "source": [INFO.name] * len(keys),
        **findings,
        "mask": [mask_cell(masks.get(key, ())) for key in keys],
    }


def _labels(table: Path) -> tuple[list[str], dict[str, list[str]]]:
    findings = builtin(INFO.findings)
    named = {name: found.id for name in table_columns(table) if (found := findings.match(name))}
    frame = read_table(table, ["Path", *named])
    keys = [_key(path, str(table)) for path in frame["Path"]]
    return keys, {finding: list(frame[name]) for name, finding in named.items()}


def _key(text: str, where: str) -> str:
    """Return the key, such as ``patient64622_study1_view1_frontal``, from a key or the end of a path."""
    match = _KEY.search(text)
    if match is None:
        raise ManifestError(
            f"{text!r} does not name a patient, study and view", where=where, remedy="download it again"
        )
    return "_".join(match.groups())


def _masks(file: Path) -> dict[str, list[Region]]:
    """Read the masks of a split without the empty ones."""
    document = read_json(file)
    if not isinstance(document, dict):
        raise ManifestError("is not a table of images", where=str(file), remedy="download it again")
    found: dict[str, list[Region]] = {}
    for name, tasks in document.items():
        where = f"{file}, image {name}"
        try:
            found[_key(name, str(file))] = list(_regions(tasks))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise ManifestError(
                f"a mask cannot be read ({error})", where=where, remedy="download it again"
            ) from error
    return found


def _regions(tasks: Mapping[str, Any]) -> list[Region]:
    found = []
    for task, mask in tasks.items():
        if task == "img_size":
            continue
        if isinstance(mask, list):
            size = image_size(tasks["img_size"])
            counts = from_polygons(mask, size)
        else:
            size = image_size(mask["size"])
            counts = from_coco(mask["counts"], size)
        if any(counts[1::2]):
            found.append(Region(_TASKS.get(task, task), size=size, counts=counts))
    return found
