"""Read a manifest: one row per image, with its labels and its patient."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.datasets.csv_file import read_rows
from tier_cli.datasets.split_names import usual_split
from tier_cli.errors import ManifestError, did_you_mean
from tier_cli.findings.check import RESERVED
from tier_cli.reports.sections import is_blank_text

if TYPE_CHECKING:
    import pandas as pd

    from tier_cli.findings.schema import FindingSet

# Columns of a human reader's labels start with this, e.g. reader:bc4:edema.
READER = "reader:"
PATH_ALIASES = ("file", "filename", "image", "image_path")
_LABELS: Mapping[str, float] = {"": math.nan, "nan": math.nan, "1": 1.0, "0": 0.0, "-1": -1.0}


@dataclass(frozen=True)
class Manifest:
    """Images with labels. Training and evaluation read their images from nothing else.

    Parameters
    ----------
    frame
        One row per image, every cell text, blank = not known. It has `path` (absolute, or relative to the
        working directory when the manifest's own path is) and the other columns of the file.
    origin
        The file that it was read from, for messages.
    root
        The folder that relative paths start from.
    notes
        What people should know about how it was read.
    patients_noted
        Whether `notes` say all that there is to say about patients. If not, `reading_notes` counts the rows
        without a patient, among the rows in use.
    """

    frame: pd.DataFrame
    origin: str
    root: str = "."
    notes: tuple[str, ...] = ()
    patients_noted: bool = True

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def reading_notes(self) -> tuple[str, ...]:
        """Return the notes, with one on rows that have no patient unless `patients_noted`."""
        blank = 0 if self.patients_noted else int((self.column("patient") == "").sum())
        if not blank:
            return self.notes
        note = (
            f"{blank} of {len(self)} images have no patient: "
            "each study, or each image without a study, counts as one patient"
        )
        return (*self.notes, note)

    @property
    def paths(self) -> list[str]:
        """Return one path per row, in the order of the file."""
        return [str(path) for path in self.frame["path"]]

    def column(self, name: str) -> NDArray[np.str_]:
        """Return one column as text (N,), all blank where a reserved column is missing.

        Raises
        ------
        ManifestError
            The column is neither present nor reserved.
        """
        if name in self.frame.columns:
            return np.asarray(self.frame[name], dtype=np.str_)
        if name in RESERVED:
            return np.full(len(self), "", dtype=np.str_)
        raise ManifestError(
            f"no column {name!r}{did_you_mean(name, self.frame.columns)}",
            where=self.origin,
            remedy=f"the columns are {', '.join(self.frame.columns)}",
        )

    def patients(self) -> NDArray[np.str_]:
        """Return one key per row (N,): the patient, else the study, else the image itself."""
        keys = self.column("patient").astype(object)
        for prefix, name in (("study:", "study"), ("image:", "path")):
            fallback = self.column(name)
            keys = np.where((keys == "") & (fallback != ""), prefix + fallback.astype(object), keys)
        return keys.astype(np.str_)

    def label_columns(self, findings: FindingSet) -> dict[str, str]:
        """Return the column of each finding, id -> column, in the order of the finding set.

        Raises
        ------
        ManifestError
            Two columns name the same finding.
        """
        found: dict[str, str] = {}
        for column in self.frame.columns:
            finding = None if column in RESERVED else findings.match(column)
            if finding is None:
                continue
            if finding.id in found:
                raise ManifestError(
                    f"columns {found[finding.id]!r} and {column!r} both name the finding {finding.id}",
                    where=self.origin,
                    remedy="keep one of them",
                )
            found[finding.id] = str(column)
        return {name: found[name] for name in findings.ids if name in found}

    def ignored_columns(self, findings: FindingSet) -> list[str]:
        """Return the columns that are neither reserved, nor findings of the set, nor a human reader's."""
        used = {*RESERVED, *self.label_columns(findings).values()}
        columns = (str(column) for column in self.frame.columns)
        return [column for column in columns if column not in used and not column.startswith(READER)]

    def holds_labels(self, column: str) -> bool:
        """Return whether a column contains labels and nothing else, whatever its name."""
        cells = set(self.frame[column])
        if not cells - {""}:
            return False
        try:
            values = [_label(cell, "") for cell in cells]
        except ManifestError:
            return False
        return not all(math.isnan(value) for value in values)

    def labels(self, findings: FindingSet) -> NDArray[np.float64]:
        """Return labels (N, F) in the order of the finding set: 1, 0, -1 = uncertain, NaN = not mentioned.

        A finding without a column is NaN throughout.

        Raises
        ------
        ManifestError
            A cell is not a label, or two columns name the same finding.
        """
        columns = self.label_columns(findings)
        labels = np.full((len(self), len(findings.ids)), np.nan)
        for number, name in enumerate(findings.ids):
            if name in columns:
                labels[:, number] = self._parsed(columns[name])
        return labels

    def _parsed(self, column: str) -> NDArray[np.float64]:
        values: dict[str, float] = {}
        for row, cell in enumerate(self.frame[column]):
            if cell not in values:
                # Name the image, not the row: a split numbers its rows differently from the file.
                path = self.frame["path"].iloc[row]
                values[cell] = _label(cell, f"{self.origin}, column {column!r}, image {path}")
        return np.array([values[cell] for cell in self.frame[column]], dtype=np.float64)

    def where(self, keep: NDArray[np.bool_]) -> Manifest:
        """Return the rows for which `keep` (N,) is true."""
        return replace(self, frame=self.frame[keep].reset_index(drop=True))

    def split(self, name: str) -> Manifest:
        """Return the rows of one split; see `in_split`."""
        return self.where(self.in_split(name))

    def in_split(self, name: str) -> NDArray[np.bool_]:
        """Return which rows (N,) are in a split of this name or, where none is, of a synonym.

        ``valid`` finds ``val``, for example; see `usual_split`.

        Raises
        ------
        ManifestError
            No row is in that split.
        """
        splits = self.column("split")
        lowered = np.char.lower(splits)
        chosen: NDArray[np.bool_] = lowered == name.lower()
        if not chosen.any():
            usual = np.array([usual_split(str(cell)) for cell in lowered], dtype=np.str_)
            chosen = usual == usual_split(name)
        if not chosen.any():
            known = ", ".join(sorted({str(value) for value in splits} - {""})) or "none"
            raise ManifestError(
                f"no image is in split {name!r}{did_you_mean(name, map(str, splits))}",
                where=self.origin,
                remedy=f"existing splits: {known}",
            )
        return chosen

    def without(self, column: str, value: str) -> Manifest:
        """Return the rows whose cell is not `value`; numbers compare as numbers (``1`` drops ``1.0``)."""
        same = _comparable(value)
        return self.where(
            np.array([_comparable(str(cell)) != same for cell in self.column(column)], dtype=bool)
        )

    def repeated_paths(self) -> list[str]:
        """Return the paths that occur in more than one row."""
        return [path for path, times in Counter(self.paths).items() if times > 1]


def read_manifest(path: str | Path, root: str | Path | None = None) -> Manifest:
    """Read a CSV manifest (comma, semicolon or tab; UTF-8).

    Texts without content (``nan``, ``___``) become blank; see `is_blank_text`.

    Parameters
    ----------
    path
        The file, with a column `path` (or `file`, `filename`, `image`, `image_path`).
    root
        The folder that relative image paths start from; the manifest's own folder by default.

    Raises
    ------
    ManifestError
        The file is missing or not text, has no column of paths, a repeated column or a ragged row.
    """
    origin = Path(path)
    base = Path(root) if root is not None else origin.parent
    if not base.is_dir():
        raise ManifestError("the folder of images does not exist", where=str(base), remedy="check --root")
    header, rows = read_rows(origin)
    notes: list[str] = []
    header = _named(header, str(origin), notes)
    place, text = header.index("path"), header.index("text") if "text" in header else None
    for number, row in enumerate(rows):
        if not row[place]:
            raise ManifestError(
                f"row {number + 1} has no path", where=str(origin), remedy="fill the column of paths"
            )
        row[place] = str(base / row[place])
        if text is not None and is_blank_text(row[text]):
            row[text] = ""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=header, dtype=object)
    return Manifest(frame, str(origin), str(base), tuple(notes), patients_noted=False)


def _named(header: Sequence[str], origin: str, notes: list[str]) -> list[str]:
    """Return the header with reserved columns in lower case and the column of paths named `path`."""
    names = [name.lower() if name.lower() in RESERVED else name for name in header]
    if "path" not in names:
        lowered = [name.lower() for name in names]
        alias = next((name for name in PATH_ALIASES if name in lowered), None)
        if alias is None:
            raise ManifestError(
                "no column of image paths",
                where=origin,
                remedy=f"name it 'path'; the columns are {', '.join(header)}",
            )
        place = lowered.index(alias)
        notes.append(f"image paths are read from the column {header[place]!r}")
        names[place] = "path"
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise ManifestError(f"two columns are named {repeated[0]!r}", where=origin, remedy="keep one of them")
    return names


def _label(cell: str, where: str) -> float:
    if cell.lower() in _LABELS:
        return _LABELS[cell.lower()]
    value = _number(cell)
    if value not in (1.0, 0.0, -1.0):
        raise ManifestError(
            f"{cell!r} is not a label", where=where, remedy="labels are 1, 0, -1 (uncertain) or blank"
        )
    return value


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _comparable(cell: str) -> float | str:
    number = _number(cell.strip())
    return cell.strip().lower() if number is None or math.isnan(number) else number
