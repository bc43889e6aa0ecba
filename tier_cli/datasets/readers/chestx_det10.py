"""Read ChestX-Det10 (Liu et al., 2020): 3,543 images of NIH ChestX-ray14 with boxes by radiologists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.datasets.build import build_manifest
from tier_cli.datasets.download import absent_split, images_in, wrong_root
from tier_cli.datasets.regions import Region, boxes_cell
from tier_cli.datasets.registry import DATASETS
from tier_cli.datasets.tables import read_json
from tier_cli.errors import ManifestError

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest

LABELS = (
    *("Atelectasis", "Calcification", "Consolidation", "Effusion", "Emphysema", "Fibrosis", "Fracture"),
    *("Mass", "Nodule", "Pneumothorax"),
)
INFO = DATASETS["chestx-det10"]

_SIZE = (1024, 1024)
# NIH's own file names begin with the patient, the names in the download do not.
_NIH_NAME = re.compile(r"(\d{8})_\d{3}")


def read(root: Path, split: str | None) -> Manifest:
    """Read boxes and derive labels from them: a finding without a box is 0.

    Raises
    ------
    ManifestError
        The list of a split is missing or has unexpected contents.
    """
    columns: dict[str, list[str]] = {}
    empty = 0
    for name in INFO.splits:
        file = next((path for path in _lists(root, name) if path.is_file()), None)
        if split in (None, name) and file is not None:
            rows, skipped = _rows(root, name, file)
            empty += skipped
            for column, cells in rows.items():
                columns.setdefault(column, []).extend(cells)
    if not columns:
        if split is None or not any(path.is_file() for name in INFO.splits for path in _lists(root, name)):
            raise wrong_root(INFO, root, *(f"{name}.json" for name in INFO.splits))
        raise absent_split(INFO, root, split, f"{split}.json")
    notes = [f"boxes without an area, left out: {empty}"] if empty else []
    if not any(columns["patient"]):
        notes.append("ChestX-Det10 names no patients: each image counts as one patient")
    return build_manifest(columns, root, root, notes)


def _lists(root: Path, split: str) -> list[Path]:
    return [root / f"{split}.json", root / split / f"{split}.json", root / "annotations" / f"{split}.json"]


def _rows(root: Path, split: str, file: Path) -> tuple[dict[str, list[str]], int]:
    entries = read_json(file)
    if not isinstance(entries, list):
        raise ManifestError("is not a list of images", where=str(file), remedy="download it again")
    places = (f"{split}_data", f"{split}_data/{split}_data", split, f"{split}/{split}_data", "images", ".")
    known = images_in(root / place for place in places)
    names: list[str] = []
    found: list[set[str]] = []
    cells: list[str] = []
    empty = 0
    for number, entry in enumerate(entries, 1):
        name, regions, flat = _entry(entry, f"{file}, image {number}")
        names.append(name)
        found.append({region.finding for region in (*regions, *flat)})
        cells.append(boxes_cell(regions))
        empty += len(flat)
    stems = [Path(name).stem for name in names]
    patients = [match[1] if (match := _NIH_NAME.match(stem)) else "" for stem in stems]
    return {
        "path": [
            known.get(stem, str(root / f"{split}_data" / name))
            for stem, name in zip(stems, names, strict=True)
        ],
        "patient": patients,
        "instance": stems,
        "split": [split] * len(names),
        "source": [INFO.name] * len(names),
        **{label: ["1" if label in labels else "0" for labels in found] for label in LABELS},
        "boxes": cells,
    }, empty


def _entry(entry: Any, where: str) -> tuple[str, list[Region], list[Region]]:
    """Return the file name, the regions, and the regions whose box has no area."""
    try:
        if not isinstance(entry, Mapping):
            raise ValueError("not an object")
        regions: list[Region] = []
        flat: list[Region] = []
        for label, box in zip(entry["syms"], entry["boxes"], strict=True):
            (x0, x1), (y0, y1) = sorted(map(float, box[0::2])), sorted(map(float, box[1::2]))
            if label not in LABELS:
                raise ValueError(f"{label!r} is not one of the 10 findings")
            into = regions if x0 < x1 and y0 < y1 else flat
            into.append(Region(label, box=(x0, y0, x1, y1), size=_SIZE))
        return str(entry["file_name"]), regions, flat
    except (ValueError, TypeError, KeyError) as error:
        raise ManifestError(
            f"cannot be understood ({error})", where=where, remedy="download it again"
        ) from error
