"""Read MIMIC-CXR-JPG (2.0.0, 2.1.0): official splits, labels by labelers and radiologists, reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.datasets.build import build_manifest
from tier_cli.datasets.download import absent_split, find_table, wrong_root
from tier_cli.datasets.readers.chexpert import LABELS
from tier_cli.datasets.readers.mimic_reports import report_texts
from tier_cli.datasets.registry import DATASETS
from tier_cli.datasets.split_names import SPLIT_NAMES
from tier_cli.datasets.tables import read_table, table_columns

if TYPE_CHECKING:
    import pandas as pd

    from tier_cli.datasets.manifest import Manifest

INFO = DATASETS["mimic-cxr"]

_SPLIT = "mimic-cxr-2.0.0-split.csv"
_METADATA = "mimic-cxr-2.0.0-metadata.csv"
_LABELERS = ("mimic-cxr-2.0.0-chexpert.csv", "mimic-cxr-2.0.0-negbio.csv")
_RADIOLOGISTS = "mimic-cxr-2.1.0-test-set-labeled.csv"
_VERSIONS = ("2.1.0", "2.0.0")
_INSIDE = ("", "mimic-cxr-jpg", "physionet.org/files/mimic-cxr-jpg", "files/mimic-cxr-jpg")
# MIMIC-CXR 2.1.0 uses Airspace Opacity for the labelers' Lung Opacity.
_SYNONYMS = {"Airspace Opacity": "Lung Opacity"}
_VIEWS = {
    "postero-anterior": "PA",
    "antero-posterior": "AP",
    "lateral": "LATERAL",
    "left lateral": "LL",
    "right lateral": "RL",
    "left anterior oblique": "LAO",
    "right anterior oblique": "RAO",
}
_PEOPLE, _PHRASES = "patients.csv", ("MS_CXR_Local_Alignment_v1.1.0.csv", "MS_CXR_Local_Alignment_v1.0.0.csv")
_PROBES = 20


def read(root: Path, split: str | None, text: str | None = None) -> Manifest:
    """Read splits of MIMIC-CXR-JPG.

    Labels belong to studies, and every image has the labels of its study. Where the radiologists' labels of
    version 2.1.0 exist, they are the labels of the test split, and studies without them are blank.

    Parameters
    ----------
    root
        The folder of the tables, or a folder above it.
    split
        ``train``, ``valid``, ``test``, or None for all.
    text
        Fill the column `text` from the reports: ``impression``, ``findings`` or ``both``.

    Raises
    ------
    ManifestError
        The list of splits or, where `text` is given, the reports are missing, or a table is not MIMIC's.
    """
    base = next((folder for folder in _bases(root) if find_table(folder, _SPLIT)), None)
    if base is None or (table := find_table(base, _SPLIT)) is None:
        raise wrong_root(INFO, root, f"{_SPLIT}.gz")
    images = read_table(table, ["dicom_id", "study_id", "subject_id", "split"])
    images["split"] = [SPLIT_NAMES.get(name, name) for name in images["split"].str.lower()]
    if split is not None:
        images = images[images["split"] == split].reset_index(drop=True)
        if images.empty:
            raise absent_split(INFO, base, split, f"rows of {split} in {table.name}")
    notes: list[str] = []
    images = _outside_ms_cxr((base, root), images, notes)
    views, years = _metadata(base, images, notes)
    columns: dict[str, Sequence[str] | pd.Series[str]] = {
        "path": _paths(base, images),
        "patient": images["subject_id"],
        "study": images["study_id"],
        "instance": images["dicom_id"],
        "split": images["split"],
        "source": [INFO.name] * len(images),
        "view": views,
        **_people((base, root), images, years),
    }
    if text is not None:
        columns["text"] = report_texts(INFO, base, root, images, text, notes)
    columns |= _labels(base, images, notes)
    return build_manifest(columns, table, root, notes)


def _bases(root: Path) -> Iterator[Path]:
    """Yield the folders below the root that may hold the tables."""
    for inside in _INSIDE:
        yield root / inside
        yield from (root / inside / version for version in _VERSIONS)


def _paths(base: Path, images: pd.DataFrame) -> list[str]:
    """Return ``files/p10/p10000032/s50414267/<dicom_id>.jpg``, or without ``files/``, or .png or .dcm."""
    relative = [
        f"p{subject[:2]}/p{subject}/s{study}/{dicom}"
        for dicom, study, subject in zip(
            images["dicom_id"], images["study_id"], images["subject_id"], strict=True
        )
    ]
    kinds = [(folder, kind) for folder in ("files/", "") for kind in (".jpg", ".png", ".jpeg", ".dcm")]
    probes = relative[:: max(1, len(relative) // _PROBES)]
    there = Counter(
        (folder, kind)
        for folder, kind in kinds
        for path in probes
        if (base / f"{folder}{path}{kind}").is_file()
    )
    folder, kind = max(kinds, key=lambda option: there[option])
    return [f"{base}/{folder}{path}{kind}" for path in relative]


def _outside_ms_cxr(folders: Sequence[Path], images: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Drop MS-CXR's patients from training where its table exists, as grounding is evaluated on them."""
    places = [folder / inside for folder in folders for inside in ("", "ms-cxr")]
    table = next((path for place in places if (path := find_table(place, *_PHRASES))), None)
    train = images["split"] == "train"
    if table is None or not train.any():
        return images
    subjects = read_table(table, ["path"])["path"].str.extract(r"/p(\d+)/s\d+/")[0]
    held = train & images["subject_id"].isin(set(subjects.dropna()))
    notes.append(f"training images of patients in {table.name}, left out: {int(held.sum())}")
    return images[~held].reset_index(drop=True)


def _metadata(base: Path, images: pd.DataFrame, notes: list[str]) -> tuple[list[str], list[str]]:
    """Return view and year of each image (N,); a blank ViewPosition is filled from the view code."""
    table = find_table(base, _METADATA)
    blank = [""] * len(images)
    if table is None:
        notes.append(f"no {_METADATA}: views are unknown, so lateral images are kept")
        return blank, blank
    code, date = "ViewCodeSequence_CodeMeaning", "StudyDate"
    frame = read_table(table, ["dicom_id", "ViewPosition"], [code, date])
    nothing = [""] * len(frame)
    cells = (frame["ViewPosition"], frame.get(code, nothing), frame.get(date, nothing))
    known = {
        dicom: (view or _VIEWS.get(meaning.lower(), ""), day[:4])
        for dicom, view, meaning, day in zip(frame["dicom_id"], *cells, strict=True)
    }
    found = [known.get(dicom, ("", "")) for dicom in images["dicom_id"]]
    views = [view for view, _ in found]
    if unknown := views.count(""):
        notes.append(f"images without a view: {unknown} of {len(views)}; they count as frontal")
    return views, [year for _, year in found]


def _people(folders: Sequence[Path], images: pd.DataFrame, years: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return sex and age from MIMIC-IV's table of patients, whose years are shifted like MIMIC-CXR's."""
    places = [folder / inside for folder in folders for inside in ("", "hosp", "core", "mimiciv/hosp")]
    table = next((path for place in places if (path := find_table(place, _PEOPLE))), None)
    if table is None:
        return {}
    frame = read_table(table, ["subject_id", "gender", "anchor_age", "anchor_year"])
    people = {row[0]: row[1:] for row in frame.itertuples(index=False, name=None)}
    found = [people.get(subject, ("", "", "")) for subject in images["subject_id"]]
    ages = []
    for (_, age, then), now in zip(found, years, strict=True):
        known = age.isdigit() and then.isdigit() and now.isdigit()
        ages.append(str(int(age) + int(now) - int(then)) if known else "")
    return {"sex": [sex for sex, *_ in found], "age": ages}


def _labels(base: Path, images: pd.DataFrame, notes: list[str]) -> dict[str, list[str]]:
    """Return one column per label (N,): the labeler's or, for test where present, the radiologists'."""
    labeler, radiologists = find_table(base, *_LABELERS), find_table(base, _RADIOLOGISTS)
    test = list(images["split"] == "test")
    made: dict[str, list[str]] = {}
    if labeler is not None and not (radiologists is not None and all(test)):
        made = _by_study(labeler, images["study_id"], notes)
        notes.append(f"labels extracted from reports by a program: {labeler.name}")
    if radiologists is not None and any(test):
        truth = _by_study(radiologists, images["study_id"], notes)
        blank = [""] * len(test)
        for name in {**made, **truth}:
            pairs = zip(test, truth.get(name, blank), made.get(name, blank), strict=True)
            made[name] = [read if is_test else guess for is_test, read, guess in pairs]
        read = {
            study for study, *cells in zip(images["study_id"], *truth.values(), strict=True) if any(cells)
        }
        notes.append(f"test labels by radiologists for {len(read)} studies: {radiologists.name}")
    if not made:
        notes.append(f"no labels: none of {', '.join((*_LABELERS, _RADIOLOGISTS))} exists")
    return {name: made[name] for name in LABELS if name in made}


def _by_study(table: Path, studies: pd.Series[str], notes: list[str]) -> dict[str, list[str]]:
    """Return the labels of a table, each (N,), blank for a study that is not in it."""
    named = {name: _SYNONYMS.get(name, name) for name in table_columns(table)}
    present = [name for name, label in named.items() if label in LABELS]
    frame = read_table(table, ["study_id", *present])
    repeated = int(frame["study_id"].duplicated().sum())
    if repeated:
        notes.append(f"{table.name} has repeated rows of {repeated} studies; the first row of each is read")
    rows = frame.drop_duplicates("study_id").set_index("study_id").reindex(studies).fillna("")
    return {named[name]: list(rows[name]) for name in present}
