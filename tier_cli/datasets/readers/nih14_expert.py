"""Read radiologists' labels of 810 ChestX-ray14 test images (Nabulsi et al., Scientific Reports 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.datasets.build import build_manifest
from tier_cli.datasets.download import find_table, wrong_root
from tier_cli.datasets.readers.nih14 import image_paths, patient_columns, read_entries
from tier_cli.datasets.registry import DATASETS
from tier_cli.datasets.tables import read_table, table_columns
from tier_cli.errors import ManifestError
from tier_cli.findings.load import builtin

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest

INFO = DATASETS["nih14-expert"]

_FOLDER = "all_findings_expert_labels"
_LABELS, _READS = "test_labels.csv", "test_individual_readers.csv"
# The majority of these three of the five radiologists is the label; the other two are for comparison.
_TRUTH = ("4343882785", "4343883593", "4343883996")
_ABNORMAL, _NO_FINDING = "Abnormal", "No Finding"
_CELLS = {"YES": "1", "1": "1", "TRUE": "1", "NO": "0", "0": "0", "FALSE": "0", "HEDGE": "-1", "": ""}
_FLIPPED = {"1": "0", "0": "1"}

# Image -> finding id (or No Finding) -> label.
_Labels = dict[str, dict[str, str]]


def read(root: Path, split: str | None) -> Manifest:
    """Read the labels and, as columns ``reader:``, the reads that did not make the labels.

    Without the table of labels, the majority of the same three radiologists as its authors chose is used.

    Raises
    ------
    ManifestError
        Both tables are missing, or one has unexpected contents.
    """
    labels_at, reads_at = find_expert(root, _FOLDER, _LABELS), find_expert(root, _FOLDER, _READS)
    origin = labels_at or reads_at
    if origin is None:
        raise wrong_root(INFO, root, f"{_FOLDER}/{_LABELS}", f"{_FOLDER}/{_READS}")
    patients: dict[str, str] = {}
    reads = {} if reads_at is None else _reads(reads_at, patients)
    notes = []
    if labels_at is not None:
        labels = _rows(labels_at, patients)[""]
    else:
        labels = _majority(reads, origin)
        notes.append(f"{_LABELS} is missing: labels are the majority of its three radiologists")
    images = list(labels)
    place = images_of(root)
    columns: dict[str, list[str]] = {
        "path": image_paths(place, images),
        **_columns_of_nih14(place, images),
        "patient": [patients[image] for image in images],
        "instance": [Path(image).stem for image in images],
        "view": ["PA"] * len(images),
        "split": ["test"] * len(images),
        "source": [INFO.name] * len(images),
        **_columns(labels, images, ""),
    }
    others = [reader for reader in sorted(reads) if reader not in _TRUTH]
    for reader in others:
        columns |= _columns(reads[reader], images, f"reader:{reader}:")
    if others:
        notes.append(f"reads of {len(others)} radiologists who did not make the labels: {', '.join(others)}")
    return build_manifest(columns, origin, place, notes)


def find_expert(root: Path, inside: str, name: str) -> Path | None:
    """Find one of Google's tables in its folder, or under a name that starts with the folder's.

    Tables of the same name exist in two folders, so the file name alone is not enough.
    """
    folders = [root / inside, *sorted(root.glob(f"*/{inside}")), *([root] if root.name == inside else [])]
    below = sorted(path.parent for path in root.glob(f"*/{inside}_{name}*"))
    plain = (found for folder in folders if (found := find_table(folder, name)))
    longer = (
        found for folder in [*folders, root, *below] if (found := find_table(folder, f"{inside}_{name}"))
    )
    return next(plain, None) or next(longer, None)


def images_of(root: Path) -> Path:
    """Return the folder of ChestX-ray14 itself: the root, or a folder in or beside it."""
    inside = sorted(path.parent for path in root.glob("*/images*/"))
    places = (root, root / "nih14", *inside, root.parent, root.parent / "nih14")
    return next((place for place in places if any(place.glob("images*/"))), root)


def _reads(table: Path, patients: dict[str, str]) -> dict[str, _Labels]:
    """Return reader -> image -> labels."""
    return _rows(table, patients, "Reader ID")


def _rows(table: Path, patients: dict[str, str], reader: str | None = None) -> dict[str, _Labels]:
    """Return reader -> image -> labels and collect the patient of each image; without readers, "" is one."""
    findings = builtin(INFO.findings)
    named = {name: finding.id for name in table_columns(table) if (finding := findings.match(name))}
    frame = read_table(table, ["Image ID", "Patient ID", _ABNORMAL, *named, *([reader] if reader else [])])
    absent = set(findings.ids).difference(named.values())
    if absent:
        raise ManifestError(
            f"no column for {', '.join(sorted(absent))}", where=str(table), remedy="download it again"
        )
    found: dict[str, _Labels] = {}
    for cells in frame.to_dict("records"):
        image = cells["Image ID"]
        where = f"{table}, image {image}"
        row = {of: label_of(cells[name], where) for name, of in named.items()}
        abnormal = label_of(cells[_ABNORMAL], where)
        row[_NO_FINDING] = _FLIPPED.get(abnormal, abnormal)
        patients[image] = cells["Patient ID"]
        if found.setdefault(cells[reader] if reader else "", {}).setdefault(image, row) is not row:
            raise ManifestError(
                "the image has two rows by one reader", where=where, remedy="download it again"
            )
    return found


def label_of(cell: str, where: str) -> str:
    """Return 1 for YES, 0 for NO, -1 for HEDGE and blank for blank.

    Raises
    ------
    ManifestError
        The cell is none of these.
    """
    if cell.upper() not in _CELLS:
        raise ManifestError(f"{cell!r} is neither YES nor NO", where=where, remedy="download it again")
    return _CELLS[cell.upper()]


def _majority(reads: Mapping[str, _Labels], table: Path) -> _Labels:
    absent = [reader for reader in _TRUTH if reader not in reads]
    if absent:
        raise ManifestError(
            f"the table lacks radiologists whose majority is the label: {', '.join(absent)}",
            where=str(table),
            remedy=f"download {_LABELS}",
        )
    first, second, third = (reads[reader] for reader in _TRUTH)
    return {
        image: {
            name: str(int((label, second[image][name], third[image][name]).count("1") > 1))
            for name, label in first[image].items()
        }
        for image in first
        if image in second and image in third
    }


def _columns(labels: _Labels, images: list[str], prefix: str) -> dict[str, list[str]]:
    names = [*builtin(INFO.findings).ids, _NO_FINDING]
    blank = dict.fromkeys(names, "")
    return {f"{prefix}{name}": [labels.get(image, blank)[name] for image in images] for name in names}


def _columns_of_nih14(place: Path, images: list[str]) -> dict[str, list[str]]:
    """Return study, age and sex from ChestX-ray14's own table, where it exists."""
    entries = read_entries(place)
    if entries is None:
        return {}
    known = patient_columns(entries[1])
    rows = {image: row for row, image in enumerate(entries[1]["Image Index"])}
    found = [rows.get(image) for image in images]
    return {
        name: ["" if row is None else known[name][row] for row in found] for name in ("study", "age", "sex")
    }
