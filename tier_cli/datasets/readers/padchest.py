"""Read PadChest: labels by physicians or a network, compared as whole words, and Spanish reports."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.datasets.build import build_manifest
from tier_cli.datasets.download import absent_split, find_table, wrong_root
from tier_cli.datasets.registry import DATASETS
from tier_cli.datasets.tables import read_table
from tier_cli.errors import ManifestError
from tier_cli.findings.check import RESERVED
from tier_cli.findings.schema import fold
from tier_cli.reports.sections import clean

if TYPE_CHECKING:
    import pandas as pd

    from tier_cli.datasets.manifest import Manifest

INFO = DATASETS["padchest"]

_TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
_NEEDED = ("ImageID", "ImageDir", "StudyID", "PatientID", "Projection", "MethodLabel", "Labels")
_OPTIONAL = ("PatientSex_DICOM", "PatientBirth", "StudyDate_DICOM", "ViewPosition_DICOM", "Report")
_SPLITS = {"physician": "test", "rnn_model": "train"}
# PadChest's "mass" is a mass anywhere; a column of that name would match the finding pulmonary mass.
_RENAMED = {"mass": "mass, site not said"}
_PROBES = 20
# A quoted text, or nan outside of quotes, as pandas writes a missing label.
_QUOTED_OR_NAN = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|\bnan\b""", re.IGNORECASE)


def read(root: Path, split: str | None, text: str | None = None) -> Manifest:
    """Read PadChest: physicians labelled ``test``, a network labelled ``train`` from the reports.

    Every label becomes a column: 1 where the image has it, 0 where it has only others, blank where it has no
    labels at all. Whole labels are compared: "nodule" does not match "pseudonodule".

    Parameters
    ----------
    root
        The folder of the table.
    split
        ``train``, ``test``, or None for both.
    text
        Anything but None fills the column `text` with the whole report: Spanish, stemmed, without sections.

    Raises
    ------
    ManifestError
        The table is missing or is not PadChest's.
    """
    table = _table(root)
    frame = read_table(table, _NEEDED, _OPTIONAL)
    frame["split"] = [_SPLITS.get(method.lower(), "") for method in frame["MethodLabel"]]
    keep = (frame["split"] != "") if split is None else frame["split"] == split
    frame = frame[keep].reset_index(drop=True)
    if frame.empty:
        raise absent_split(INFO, root, split or "any", f"rows of Physician or RNN_model in {table.name}")
    notes: list[str] = []
    columns: dict[str, Sequence[str] | pd.Series[str]] = {
        "path": _paths(table.parent, frame),
        "patient": frame["PatientID"],
        "study": frame["StudyID"],
        "split": frame["split"],
        "source": [INFO.name] * len(frame),
        "view": _views(frame),
        "sex": _optional(frame, "PatientSex_DICOM"),
        "age": _ages(frame),
    }
    if text is not None:
        columns["text"] = [clean(report) for report in _optional(frame, "Report")]
        notes.append("texts are PadChest's own reports: Spanish, stemmed, without sections")
    columns |= label_columns(frame["Labels"], str(table), notes)
    return build_manifest(columns, table, root, notes)


def label_columns(
    cells: Sequence[str] | pd.Series[str], where: str, notes: list[str]
) -> Mapping[str, list[str]]:
    """Return one column (N,) per label in alphabetical order: 1, 0, or blank for an image without labels.

    Raises
    ------
    ManifestError
        A cell is not a list.
    """
    parsed: dict[str, tuple[str, ...]] = {cell: _labels_of(cell, where) for cell in dict.fromkeys(cells)}
    # Labels that differ only in case or spaces are the same.
    names: dict[str, str] = {}
    for labels in parsed.values():
        for label in labels:
            names.setdefault(fold(label), label)
    marks = {cell: {fold(label) for label in labels} for cell, labels in parsed.items()}
    held = [marks[cell] for cell in cells]
    columns = {}
    for key, name in sorted(names.items(), key=lambda pair: pair[1].lower()):
        title = _RENAMED.get(key, name)
        if title in RESERVED:
            title = f"{title} (label)"
        columns[title] = ["" if not labels else "1" if key in labels else "0" for labels in held]
    if bare := sum(not labels for labels in held):
        notes.append(f"images without any label, left blank: {bare}")
    return columns


def _table(root: Path) -> Path:
    if table := find_table(root, _TABLE):
        return table
    # Copies often have other names that still resemble the original.
    likely = sorted({*root.glob("*[Pp][Aa][Dd][Cc][Hh][Ee][Ss][Tt]*.csv*"), *root.glob("*labels_160K*.csv*")})
    likely = [path for path in likely if path.name.endswith((".csv", ".csv.gz"))]
    if len(likely) != 1:
        raise wrong_root(INFO, root, _TABLE)
    return likely[0]


def _labels_of(cell: str, where: str) -> tuple[str, ...]:
    if cell.lower() in ("", "nan"):
        return ()
    try:
        labels = ast.literal_eval(_QUOTED_OR_NAN.sub(lambda found: found[1] or "'nan'", cell))
    except (ValueError, SyntaxError):
        labels = None
    if not isinstance(labels, list | tuple):
        raise ManifestError(
            f"{cell[:60]!r} is not a list of labels",
            where=f"{where}, column 'Labels'",
            remedy="use the unchanged table of the download",
        )
    stripped = (" ".join(str(label).split()) for label in labels)
    return tuple(dict.fromkeys(label for label in stripped if label and label.lower() != "nan"))


def _paths(folder: Path, frame: pd.DataFrame) -> list[str]:
    """Return ``<ImageDir>/<ImageID>`` where that folder exists, else a flat path; with or without images/."""
    places = [folder, folder / "images", *sorted(p for p in folder.glob("images*") if p.is_dir())]
    names, inner = list(frame["ImageID"]), [cell.removesuffix(".0") for cell in frame["ImageDir"]]
    step = max(1, len(names) // _PROBES)

    def hits(place: Path) -> int:
        probes = zip(inner[::step], names[::step], strict=True)
        return sum((place / d / n).is_file() or (place / n).is_file() for d, n in probes)

    base = max(places, key=hits)
    there = {name: bool(name) and (base / name).is_dir() for name in dict.fromkeys(inner)}
    return [
        f"{base}/{part}/{name}" if there[part] else f"{base}/{name}"
        for part, name in zip(inner, names, strict=True)
    ]


def _views(frame: pd.DataFrame) -> list[str]:
    coded = _optional(frame, "ViewPosition_DICOM")
    return [view or other for view, other in zip(frame["Projection"], coded, strict=True)]


def _ages(frame: pd.DataFrame) -> list[str]:
    """Return ages in years, from the years of birth and study."""
    ages = []
    for born, taken in zip(
        _optional(frame, "PatientBirth"), _optional(frame, "StudyDate_DICOM"), strict=True
    ):
        known = born[:4].isdigit() and taken[:4].isdigit()
        age = int(taken[:4]) - int(born[:4]) if known else -1
        ages.append(str(age) if 0 <= age <= 120 else "")
    return ages


def _optional(frame: pd.DataFrame, name: str) -> list[str]:
    return list(frame[name]) if name in frame else [""] * len(frame)
