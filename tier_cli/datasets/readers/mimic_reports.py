"""Read the reports of MIMIC-CXR: a table of sections, files beside the studies, or the downloaded archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

from tier_cli.datasets.download import find_table, wrong_root
from tier_cli.datasets.info import DatasetInfo
from tier_cli.datasets.tables import read_table
from tier_cli.errors import ManifestError
from tier_cli.reports.sections import clean, joined, section

if TYPE_CHECKING:
    import pandas as pd

_SECTIONED = "mimic_cxr_sectioned.csv"
_ARCHIVE = "mimic-cxr-reports.zip"
_PROBES = 50

Find = Callable[[str, str], str]


def report_texts(
    info: DatasetInfo, base: Path, root: Path, images: pd.DataFrame, which: str, notes: list[str]
) -> list[str]:
    """Return one part of each image's report (N,), ``""`` where the report lacks it.

    Parameters
    ----------
    info, base, root
        The data set, the folder of its tables, and the folder given as root.
    images
        Rows with ``subject_id`` and ``study_id``.
    which
        ``impression``, ``findings`` or ``both``.
    notes
        Receives the origin of the reports and how many are empty.

    Raises
    ------
    ManifestError
        The reports are missing, or the archive cannot be read.
    """
    # In PhysioNet's own tree the project of the reports lies beside that of the images.
    beside = [root / inside / "mimic-cxr" for inside in ("", "physionet.org/files", "files")]
    places = [base, root, *(place / version for place in beside for version in ("", "2.1.0", "2.0.0"))]
    folders = list(dict.fromkeys([*places, base / "mimic-cxr-reports", root / "mimic-cxr-reports"]))
    keys = dict.fromkeys(zip(images["subject_id"], images["study_id"], strict=True))
    table = next((path for folder in folders if (path := find_table(folder, _SECTIONED))), None)
    archive = next((path for folder in folders if (path := folder / _ARCHIVE).is_file()), None)
    if table is not None:
        origin = table
        find = _sectioned(table, which)
        texts = {study: find(subject, study) for subject, study in keys}
    elif (folder := _folder(folders, list(keys)[:_PROBES])) is not None:
        origin = folder
        texts = {study: section(_beside(folder, subject, study), which) for subject, study in keys}
    elif archive is not None:
        origin = archive
        texts = _archived(archive, list(keys), which)
    else:
        raise wrong_root(
            info,
            base,
            "files/p10/p10000032/s50414267.txt",
            _ARCHIVE,
            _SECTIONED,
            what="the reports are missing (they come with MIMIC-CXR, not with MIMIC-CXR-JPG)",
        )
    empty = sum(not text for text in texts.values())
    notes.append(f"texts ({which}) from {origin.name}: {len(texts) - empty} studies, {empty} without text")
    return [texts[study] for study in images["study_id"]]


def _sectioned(table: Path, which: str) -> Find:
    frame = read_table(table, ["study", "impression", "findings"], ["last_paragraph"])
    frame["study"] = frame["study"].str.removeprefix("s")
    rows = frame.drop_duplicates("study").set_index("study").to_dict("index")

    def find(_subject: str, study: str) -> str:
        row = rows.get(study)
        if row is None:
            return ""
        if not row["impression"] and not row["findings"]:
            return clean(str(row.get("last_paragraph", "")))
        return joined(str(row["findings"]), str(row["impression"]), which)

    return find


def _candidates(subject: str, study: str) -> tuple[str, ...]:
    """Return the paths of a report: beside the study's folder, as downloaded, or in it, as in TIER's code."""
    place = f"p{subject[:2]}/p{subject}/s{study}"
    return f"{place}.txt", f"{place}/s{study}.txt"


def _folder(folders: list[Path], keys: list[tuple[str, str]]) -> Path | None:
    places = [folder / inside for folder in folders for inside in ("files", "")]
    return next((place for place in places if any(_path(place, *key) for key in keys)), None)


def _path(folder: Path, subject: str, study: str) -> Path | None:
    paths = (folder / name for name in _candidates(subject, study))
    return next((path for path in paths if path.is_file()), None)


def _beside(folder: Path, subject: str, study: str) -> str:
    path = _path(folder, subject, study)
    try:
        return "" if path is None else path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ManifestError(
            f"the report cannot be read ({error})",
            where=str(path),
            remedy="check the file and its permissions",
        ) from error


def _archived(archive: Path, keys: list[tuple[str, str]], which: str) -> dict[str, str]:
    try:
        with ZipFile(archive) as opened:
            inside = set(opened.namelist())
            texts = {}
            for subject, study in keys:
                names = (f"files/{name}" for name in _candidates(subject, study))
                name = next((name for name in names if name in inside), None)
                raw = opened.read(name) if name else b""
                texts[study] = section(raw.decode("utf-8", errors="replace"), which)
            return texts
    except (OSError, BadZipFile) as error:
        raise ManifestError(
            f"the archive cannot be read ({error})", where=str(archive), remedy="download it again"
        ) from error
