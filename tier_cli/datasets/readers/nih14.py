"""Read NIH ChestX-ray14 (Wang et al., CVPR 2017): 112,120 frontal images, labels from reports, 984 boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.datasets.build import build_manifest
from tier_cli.datasets.download import absent_split, find_table, images_in, wrong_root
from tier_cli.datasets.regions import Region, boxes_cell
from tier_cli.datasets.registry import DATASETS
from tier_cli.datasets.tables import read_table, table_lines
from tier_cli.errors import ManifestError

if TYPE_CHECKING:
    import pandas as pd

    from tier_cli.datasets.manifest import Manifest

LABELS = (
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia"),
    *("Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"),
)
NORMAL = "No Finding"
INFO = DATASETS["nih14"]

_TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
_LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}
_BOX_SIZE = (1024, 1024)
# The name of a finding in the list of boxes -> its name in the labels.
_BOX_NAMES = {"Infiltrate": "Infiltration"}
# A few ages in the table are above 400.
_OLDEST = 120


def read(root: Path, split: str | None) -> Manifest:
    """Read the official splits; `train` is the official train_val list.

    Raises
    ------
    ManifestError
        The table or the list of a split is missing, or a label is not one of the 14.
    """
    entries = read_entries(root)
    if entries is None:
        raise wrong_root(INFO, root, *_TABLES)
    splits = _splits(root, split)
    table, frame = entries
    frame = frame[frame["Image Index"].isin(list(splits))].reset_index(drop=True)
    if frame.empty:
        raise ManifestError(
            "the table contains no image of the official lists",
            where=str(table),
            remedy="download the lists again",
        )
    names = list(frame["Image Index"])
    paths, boxes = image_paths(root, names), _boxes(root)
    columns: dict[str, list[str]] = {
        "path": paths,
        **patient_columns(frame),
        "instance": [Path(name).stem for name in names],
        "split": [splits[name] for name in names],
        "source": [INFO.name] * len(names),
        **_labels(frame, table),
        "boxes": [boxes_cell(boxes.get(name, ())) for name in names],
    }
    return build_manifest(columns, table, root, _notes(frame, splits))


def _splits(root: Path, split: str | None) -> dict[str, str]:
    """Return image name -> split for the requested splits whose list exists."""
    found: dict[str, str] = {}
    for name, file in _LISTS.items():
        path = root / file
        if split in (None, name) and path.is_file():
            found |= dict.fromkeys(path.read_text("utf-8-sig", errors="replace").split(), name)
    if not found and split is not None:
        raise absent_split(INFO, root, split, _LISTS[split])
    if not found:
        raise wrong_root(
            INFO,
            root,
            *_LISTS.values(),
            what="the table is there, but the official lists of the splits are not",
        )
    return found


def read_entries(root: Path) -> tuple[Path, pd.DataFrame] | None:
    """Read the table of all images, of 2020 or 2017; None where it is missing.

    Raises
    ------
    ManifestError
        The table has unexpected contents.
    """
    table = find_table(root, *_TABLES)
    if table is None:
        return None
    return table, read_table(
        table,
        ["Image Index", "Finding Labels"],
        ["Follow-up #", "Patient ID", "Patient Age", "Patient Gender", "View Position"],
    )


def image_paths(root: Path, names: Sequence[str]) -> list[str]:
    """Return the paths of images, found by name in the folders of the download."""
    folders = sorted(path for path in root.glob("images*") if path.is_dir())
    known = images_in([*(folder / "images" for folder in folders), *folders, root])
    return [known.get(Path(name).stem, str(root / "images" / name)) for name in names]


def patient_columns(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Return patient, study, age in years, sex and view of each row of the table."""
    blank = [""] * len(frame)
    given = {name: list(frame[name]) for name in frame.columns}
    patients = given.get("Patient ID", blank)
    return {
        "patient": patients,
        "study": [
            f"{patient}-{number}" if patient and number else ""
            for patient, number in zip(patients, given.get("Follow-up #", blank), strict=True)
        ],
        "age": [_age(cell) for cell in given.get("Patient Age", blank)],
        "sex": given.get("Patient Gender", blank),
        "view": given.get("View Position", blank),
    }


def _age(cell: str) -> str:
    """Return an age in years: the table of 2017 has 058Y, 013M or 004D, that of 2020 has 58."""
    number, unit = (cell[:-1], cell[-1]) if cell and cell[-1] in "YMD" else (cell, "Y")
    if not number.isdecimal():
        return ""
    years = int(number) // {"Y": 1, "M": 12, "D": 365}[unit]
    return str(years) if years <= _OLDEST else ""


def _labels(frame: pd.DataFrame, table: Path) -> dict[str, list[str]]:
    sets = {cell: frozenset(cell.split("|")) for cell in frame["Finding Labels"].unique()}
    for cell, labels in sets.items():
        unknown = sorted(labels.difference(LABELS, [NORMAL]))
        if unknown:
            raise ManifestError(
                f"{cell!r} contains {unknown[0]!r}, which is not one of the 14 findings",
                where=f"{table}, column 'Finding Labels'",
                remedy="use NIH's unchanged table",
            )
    found = [sets[cell] for cell in frame["Finding Labels"]]
    return {name: ["1" if name in labels else "0" for labels in found] for name in (*LABELS, NORMAL)}


def _boxes(root: Path) -> dict[str, list[Region]]:
    """Read the boxes by position, as the header ``Bbox [x,y,w,h]`` has unquoted commas."""
    path = find_table(root, "BBox_List_2017.csv")
    found: dict[str, list[Region]] = {}
    lines = table_lines(path) if path is not None else iter([])
    next(lines, None)
    for number, cells in enumerate(lines, 1):
        try:
            x, y, width, height = (float(cell) for cell in cells[2:6])
        except ValueError:
            raise ManifestError(
                f"box {number} is not four numbers", where=str(path), remedy="download it again"
            ) from None
        name = cells[1].strip()
        box = (x, y, x + width, y + height)
        region = Region(_BOX_NAMES.get(name, name), box=box, size=_BOX_SIZE)
        found.setdefault(cells[0].strip(), []).append(region)
    return found


def _notes(frame: pd.DataFrame, splits: dict[str, str]) -> list[str]:
    notes = []
    if len(frame) < len(splits):
        notes.append(f"images of the official lists that are not in the table: {len(splits) - len(frame)}")
    if "Patient Age" in frame:
        odd = sum(bool(cell) and not _age(cell) for cell in frame["Patient Age"])
        if odd:
            notes.append(f"ages above {_OLDEST} or unreadable, left blank: {odd}")
    return notes
