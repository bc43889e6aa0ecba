"""Read VinDr-CXR (Nguyen et al., Scientific Data 2022): 18,000 images, radiologists' labels and boxes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.datasets.build import build_manifest
from tier_cli.datasets.download import absent_split, find_table, images_in, wrong_root
from tier_cli.datasets.regions import Region, boxes_cell, image_size
from tier_cli.datasets.registry import DATASETS
from tier_cli.datasets.tables import read_table, table_columns
from tier_cli.errors import ManifestError
from tier_cli.findings.load import builtin

if TYPE_CHECKING:
    import pandas as pd

    from tier_cli.datasets.manifest import Manifest

INFO = DATASETS["vindr"]

_CORNERS = ("x_min", "y_min", "x_max", "y_max")
_NO_FINDING = "no_finding"


def read(root: Path, split: str | None) -> Manifest:
    """Read PhysioNet's layout, or Kaggle's where only that exists.

    A train label is the majority of three readers; the boxes are those of every reader who marked a finding
    that the majority saw. Test labels are a consensus.

    Raises
    ------
    ManifestError
        Tables are missing or have unexpected contents.
    """
    folder = root / "annotations" if (root / "annotations").is_dir() else root
    parts = []
    for name in INFO.splits:
        table = find_table(folder, f"image_labels_{name}.csv")
        if table is not None and split in (None, name):
            parts.append(_physionet(root, folder, name, table))
    kaggle = find_table(root, "train.csv")
    if not parts and kaggle is not None:
        if split == "test":
            raise ManifestError(
                "Kaggle's copy of VinDr-CXR has no test labels",
                where=str(kaggle),
                remedy="use --split train or PhysioNet's copy",
            )
        parts.append(_kaggle(root, kaggle))
    if not parts:
        tables = {name: f"image_labels_{name}.csv" for name in INFO.splits}
        if split is not None and any(find_table(folder, table) for table in tables.values()):
            raise absent_split(INFO, folder, split, tables[split])
        raise wrong_root(INFO, folder, *tables.values(), "train.csv")
    columns, notes = (
        _joined([columns for columns, _ in parts]),
        [note for _, part_notes in parts for note in part_notes],
    )
    notes.append("VinDr-CXR names no patients: each image counts as one patient")
    return build_manifest(columns, folder, root, [*notes, *_converted(columns)])


_Columns = dict[str, list[str]]


def _physionet(root: Path, folder: Path, split: str, table: Path) -> tuple[_Columns, list[str]]:
    findings = builtin("vindr28")
    named = {name: found.id for name in table_columns(table) if (found := findings.match(name))}
    frame = read_table(table, ["image_id", *named])
    votes: dict[str, list[int]] = {}
    readers: dict[str, int] = defaultdict(int)
    for image, *cells in frame.itertuples(index=False, name=None):
        readers[image] += 1
        counts = votes.setdefault(image, [0] * len(named))
        for place, cell in enumerate(cells):
            counts[place] += _vote(cell, f"{table}, image {image}")
    labels = {
        name: [_majority(votes[image][place], readers[image]) for image in votes]
        for place, name in enumerate(named.values())
    }
    marks = find_table(folder, f"annotations_{split}.csv")
    boxes = {} if marks is None else _boxes(read_table(marks, ["image_id", "class_name", *_CORNERS]), marks)
    notes = [] if marks is not None else [f"no boxes, as annotations_{split}.csv is missing"]
    absent = [finding.label for finding in findings.findings if finding.id not in labels]
    if absent:
        notes.append(f"{table.name} has no column for {', '.join(absent)}")
    return _columns(root, split, list(votes), labels, boxes), notes


def _kaggle(root: Path, table: Path) -> tuple[_Columns, list[str]]:
    """Read Kaggle's rows of boxes: the readers of an image are those with a row, even a row of no finding."""
    findings = builtin("vindr28")
    frame = read_table(table, ["image_id", "class_name", "rad_id", *_CORNERS])
    readers: dict[str, set[str]] = defaultdict(set)
    seen: dict[str, dict[str, set[str]]] = {}
    for name in frame["class_name"].unique():
        found = findings.match(name)
        if found is None:
            raise ManifestError(
                f"{name!r} is not a label of VinDr-CXR",
                where=f"{table}, column 'class_name'",
                remedy="use Kaggle's unchanged table",
            )
        seen[name] = defaultdict(set)
    for image, name, reader in frame[["image_id", "class_name", "rad_id"]].itertuples(index=False, name=None):
        readers[image].add(reader)
        seen[name][image].add(reader)
    labels = {
        finding.id: [_majority(len(seen[name].get(image, ())), len(readers[image])) for image in readers]
        for name in seen
        if (finding := findings.match(name))
    }
    notes = ["Kaggle's copy has 14 local findings and no finding; the other labels are blank"]
    return _columns(root, "train", list(readers), labels, _boxes(frame, table)), notes


def _vote(cell: str, where: str) -> int:
    if cell in ("0", "1", "0.0", "1.0"):
        return int(cell[0])
    raise ManifestError(f"{cell!r} is neither 0 nor 1", where=where, remedy="download it again")


def _majority(votes: int, readers: int) -> str:
    if 2 * votes == readers:
        return "-1"
    return "1" if 2 * votes > readers else "0"


def _boxes(frame: pd.DataFrame, table: Path) -> dict[str, list[Region]]:
    """Return the boxes of each image; rows without a box are reads without a finding."""
    findings = builtin("vindr28")
    found: dict[str, list[Region]] = defaultdict(list)
    wanted = frame[["image_id", "class_name", *_CORNERS]]
    for row, (image, name, *cells) in enumerate(wanted.itertuples(index=False, name=None), 1):
        finding = findings.match(name)
        if not any(cells) or finding is None or finding.id == _NO_FINDING:
            continue
        try:
            x0, y0, x1, y1 = map(float, cells)
        except ValueError:
            raise ManifestError(
                f"box {row} is not four numbers", where=str(table), remedy="download it again"
            ) from None
        if x0 < x1 and y0 < y1:
            found[image].append(Region(finding.id, box=(x0, y0, x1, y1)))
    return found


def _columns(
    root: Path, split: str, images: list[str], labels: _Columns, boxes: dict[str, list[Region]]
) -> _Columns:
    known, sizes = images_in([root / split]), _sizes(root, split)
    present = [{name for name, cells in labels.items() if cells[row] == "1"} for row in range(len(images))]
    return {
        "path": [known.get(image, str(root / split / f"{image}.dicom")) for image in images],
        "instance": images,
        "split": [split] * len(images),
        "source": [INFO.name] * len(images),
        **labels,
        "boxes": [
            boxes_cell(
                replace(region, size=sizes.get(image))
                for region in boxes.get(image, ())
                if region.finding in present[row]
            )
            for row, image in enumerate(images)
        ],
    }


def _sizes(root: Path, split: str) -> dict[str, tuple[int, int]]:
    """Read the original image sizes, which copies with smaller images list in ``train_meta.csv``."""
    table = find_table(root, f"{split}_meta.csv")
    if table is None:
        return {}
    frame = read_table(table, ["image_id", "dim0", "dim1"])
    try:
        return {
            image: image_size([int(height), int(width)])
            for image, height, width in frame.itertuples(index=False, name=None)
        }
    except ValueError:
        raise ManifestError(
            "an image size is not valid", where=str(table), remedy="download it again"
        ) from None


def _converted(columns: _Columns) -> Iterable[str]:
    """Warn of boxes on converted images: boxes are in pixels of the DICOM files, whose size may differ."""
    doubtful = sum(
        bool(boxes) and '"size"' not in boxes and Path(path).suffix not in (".dicom", ".dcm")
        for path, boxes in zip(columns["path"], columns["boxes"], strict=True)
    )
    if doubtful:
        yield f"images with boxes that are not DICOM: {doubtful}; their boxes fit only at full size"


def _joined(parts: Iterable[_Columns]) -> _Columns:
    """Concatenate tables; a column that one of them lacks is blank there."""
    tables = list(parts)
    names = dict.fromkeys(name for table in tables for name in table)
    return {
        name: [cell for table in tables for cell in table.get(name, [""] * len(table["path"]))]
        for name in names
    }
