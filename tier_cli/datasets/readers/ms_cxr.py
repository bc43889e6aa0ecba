"""Read MS-CXR (Boecking et al., ECCV 2022): phrases of MIMIC-CXR reports with boxes around what they name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.datasets.build import build_manifest
from tier_cli.datasets.download import find_table, first_folder, wrong_root
from tier_cli.datasets.regions import Region, boxes_cell, image_size
from tier_cli.datasets.registry import DATASETS
from tier_cli.datasets.tables import read_table
from tier_cli.errors import ManifestError

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest

CATEGORIES = (
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Lung Opacity", "Pleural Effusion"),
    *("Pneumonia", "Pneumothorax"),
)
INFO = DATASETS["ms-cxr"]

_TABLES = ("MS_CXR_Local_Alignment_v1.1.0.csv", "MS_CXR_Local_Alignment_v1.0.0.csv")
_SPLITS = {"train": "train", "val": "valid", "validate": "valid", "valid": "valid", "test": "test"}
_COLUMNS = ("dicom_id", "category_name", "label_text", "path", "x", "y", "w", "h")
_KEYS = re.compile(r"p(?P<patient>\d+)/s(?P<study>\d+)/")
# Folders of MIMIC-CXR-JPG in the folder of MS-CXR or above it.
_MIMIC = ("", "mimic-cxr", "mimic-cxr-jpg")
_VERSIONS = ("", "2.1.0", "2.0.0")
_KINDS = (".jpg", ".png", ".dcm")


def read(root: Path, split: str | None) -> Manifest:
    """Read one row per image, each box with its phrase.

    Categories with a phrase are 1; the others are blank, as nobody stated that they are absent. Version 1.0.0
    has no splits: all of it is `test`.

    Raises
    ------
    ManifestError
        The table is missing or has unexpected contents, or it lacks the split.
    """
    places = (root / place for place in ("", "ms-cxr", "1.1.0", "ms-cxr/1.1.0", "1.0.0", "ms-cxr/1.0.0"))
    table = next((found for place in places if (found := find_table(place, *_TABLES))), None)
    if table is None:
        raise wrong_root(INFO, root, *_TABLES)
    frame = read_table(table, [*_COLUMNS, "image_width", "image_height"], ["split"])
    if "split" not in frame:
        frame["split"] = "test"
    boxes: dict[str, list[Region]] = {}
    first: dict[str, tuple[str, str]] = {}
    for row, cells in enumerate(frame.to_dict("records"), 1):
        where = f"{table}, row {row}"
        named = _SPLITS.get(cells["split"].lower())
        if named is None:
            raise ManifestError(f"unknown split {cells['split']!r}", where=where, remedy="download it again")
        if split in (None, named):
            first.setdefault(cells["dicom_id"], (cells["path"], named))
            boxes.setdefault(cells["dicom_id"], []).append(_region(cells, where))
    if not boxes:
        raise ManifestError(
            f"no split {split!r}", where=str(table), remedy="use --split test: version 1.0.0 has no other"
        )
    columns = _columns(_images(table.parent), first, boxes)
    return build_manifest(
        columns, table, root, ["blank labels are unknown: only findings with a phrase were marked"]
    )


def _columns(
    images: Path, first: dict[str, tuple[str, str]], boxes: dict[str, list[Region]]
) -> dict[str, list[str]]:
    keys = [_KEYS.search(path) for path, _ in first.values()]
    present = [{region.finding for region in boxes[name]} for name in first]
    return {
        "path": [_image(images, path) for path, _ in first.values()],
        "patient": [match["patient"] if match else "" for match in keys],
        "study": [match["study"] if match else "" for match in keys],
        "instance": list(first),
        "split": [split for _, split in first.values()],
        "source": [INFO.name] * len(first),
        **{name: ["1" if name in found else "" for found in present] for name in CATEGORIES},
        "boxes": [boxes_cell(boxes[name]) for name in first],
    }


def _region(cells: Mapping[Any, str], where: str) -> Region:
    category = cells["category_name"]
    if category not in CATEGORIES:
        raise ManifestError(f"unknown category {category!r}", where=where, remedy="download it again")
    try:
        x, y, width, height = (float(cells[name]) for name in ("x", "y", "w", "h"))
        size = image_size([int(float(cells[name])) for name in ("image_height", "image_width")])
    except (ValueError, OverflowError):
        raise ManifestError(
            "the box or the image size is not valid", where=where, remedy="download it again"
        ) from None
    return Region(category, cells["label_text"], (x, y, x + width, y + height), size)


def _images(folder: Path) -> Path:
    """Return the folder that holds MIMIC-CXR-JPG's files/: the table's own, or one in, above or beside it."""
    above = (folder, folder.parent, folder.parent.parent)
    places = [place / name / version for place in above for name in _MIMIC for version in _VERSIONS]
    found = first_folder(place / "files" / f"p1{n}" for place in places for n in range(10))
    return found.parent.parent if found else folder


def _image(images: Path, path: str) -> str:
    """Return the table's image, or its conversion to another format: boxes fit every full-size version."""
    named = images / path
    kinds = (named.with_suffix(kind) for kind in _KINDS)
    return str(next((other for other in (named, *kinds) if other.is_file()), named))
