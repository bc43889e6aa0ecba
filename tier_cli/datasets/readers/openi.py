"""Read Open-i (Indiana University chest X-rays): XML reports as published, or repackaged tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from tier_cli.datasets.build import build_manifest
from tier_cli.datasets.download import find_table, wrong_root
from tier_cli.datasets.registry import DATASETS
from tier_cli.datasets.tables import read_table
from tier_cli.errors import ManifestError
from tier_cli.reports.sections import joined

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest

INFO = DATASETS["openi"]

_REPORTS, _PROJECTIONS = "indiana_reports.csv", "indiana_projections.csv"
_XML_FOLDERS = ("ecgen-radiology", "NLMCXR_reports/ecgen-radiology", "reports/ecgen-radiology", "")
_IMAGE_FOLDERS = ("NLMCXR_png", "images/images_normalized", "images", "NLMCXR_dcm", "")
# Finding of the set nih14 -> the indexers' headings; of "Opacity/lung/base/left" the first part counts, and
# the others only where `_head` says so.
_HEADINGS: dict[str, tuple[str, ...]] = {
    "Atelectasis": ("pulmonary atelectasis", "atelectasis"),
    "Cardiomegaly": ("cardiomegaly",),
    "Effusion": ("pleural effusion",),
    "Infiltration": ("infiltrate",),
    "Mass": ("mass",),
    "Nodule": ("nodule",),
    "Pneumonia": ("pneumonia", "bronchopneumonia"),
    "Pneumothorax": ("pneumothorax", "hydropneumothorax"),
    "Consolidation": ("consolidation",),
    "Edema": ("pulmonary edema", "edema"),
    "Emphysema": ("emphysema", "pulmonary emphysema", "bullous emphysema"),
    "Fibrosis": ("pulmonary fibrosis", "idiopathic pulmonary fibrosis", "fibrosis"),
    "Pleural_Thickening": ("pleural thickening",),
    "Hernia": ("hernia, hiatal", "hernia, diaphragmatic"),
    "Lung Opacity": ("opacity", "airspace disease"),
    "Fracture": ("fractures, bone", "rib fractures", "spinal fractures", "fractures, compression"),
    "No Finding": ("normal",),
}
# Headings that are about the lung or the pleura unless a qualifier names another place.
_UNSPECIFIC = ("edema", "emphysema", "fibrosis", "effusion", "thickening")
_OTHER_PLACES = (
    "mediastinum",
    "soft tissue",
    "subcutaneous",
    "pericardium",
    "pericardial",
    "bone",
    "abdomen",
)
# Heading and qualifier -> the heading of the finding.
_QUALIFIED = {("thickening", "pleura"): "pleural thickening", ("effusion", "pleura"): "pleural effusion"}
_UNINDEXED = ("", "no indexing")
_PREFIX = re.compile(r"^(?:CXR)?(\d+)_(?:\d+_)?(IM-)")
_ENDINGS = re.compile(r"(\.(png|dcm|jpg))+$", re.IGNORECASE)


@dataclass(frozen=True)
class Report:
    """One report and the names of its images."""

    key: str
    findings: str
    impression: str
    headings: tuple[str, ...]
    images: tuple[str, ...]


def read(root: Path, split: str | None, text: str | None = None) -> Manifest:
    """Read Open-i. It has no official split: every row is in the split ``all``.

    Labels come from the headings (MeSH) that people gave to reports: 1 or 0, blank for a report without
    headings. Reports name no patients, so each report counts as one patient.

    Parameters
    ----------
    root
        The folder of the reports and images.
    split
        ``all`` or None.
    text
        Fill the column `text` from the reports: ``impression``, ``findings`` or ``both``; XXXX is removed.

    Raises
    ------
    ManifestError
        The reports are missing, or one cannot be read.
    """
    folder = next((f for inside in _XML_FOLDERS if _has_xml(f := root / inside)), None)
    views, projections = _projections(root)
    if folder is not None:
        origin, reports = folder, _from_xml(folder)
    elif (table := find_table(root, _REPORTS)) is not None:
        origin, reports = table, _from_table(table, projections)
    else:
        raise wrong_root(INFO, root, "ecgen-radiology/*.xml", _REPORTS)
    rows = [(report, image) for report in reports for image in report.images]
    if not rows:
        raise wrong_root(
            INFO, root, _PROJECTIONS, what="the reports are there, but none of them names an image"
        )
    columns: dict[str, Sequence[str]] = {
        "path": _paths(root, [image for _, image in rows]),
        "patient": [report.key for report, _ in rows],
        "study": [report.key for report, _ in rows],
        "split": ["all"] * len(rows),
        "source": [INFO.name] * len(rows),
        "view": [views.get(_stem(image), "") for _, image in rows],
    }
    if text is not None:
        columns["text"] = [joined(r.findings, r.impression, text) for r, _ in rows]
    columns |= {name: [_label(r.headings, heads) for r, _ in rows] for name, heads in _HEADINGS.items()}
    return build_manifest(columns, origin, root, _notes(reports, views))


def _notes(reports: Sequence[Report], views: dict[str, str]) -> list[str]:
    notes = ["reports name no patients: each report counts as one patient"]
    if without := sum(not report.images for report in reports):
        notes.append(f"reports without an image: {without}")
    if not views:
        notes.append(f"no {_PROJECTIONS}: views are unknown, so lateral images are kept")
    return notes


def _has_xml(folder: Path) -> bool:
    return folder.is_dir() and next(folder.glob("*.xml"), None) is not None


def _from_xml(folder: Path) -> list[Report]:
    paths = sorted(folder.glob("*.xml"), key=lambda path: (len(path.stem), path.stem))
    return [_report(path) for path in paths]


def _report(path: Path) -> Report:
    """Read one report.

    Raises
    ------
    ManifestError
        The file is not XML.
    """
    try:
        # This parser loads nothing external, and expat limits the expansion of entities.
        document = ElementTree.parse(path).getroot()  # noqa: S314
    except (OSError, ElementTree.ParseError) as error:
        raise ManifestError(
            f"the report cannot be read ({error})", where=str(path), remedy="unpack NLMCXR_reports.tgz again"
        ) from error
    parts: dict[str, str] = {}
    for node in document.iter("AbstractText"):
        label = node.get("Label", "").upper()
        parts[label] = parts.get(label) or "".join(node.itertext()).strip()
    uid = document.find(".//uId")
    images = (node.get("id", "") for node in document.iter("parentImage"))
    return Report(
        key=(uid.get("id", "") if uid is not None else "") or f"CXR{path.stem}",
        findings=parts.get("FINDINGS", ""),
        impression=parts.get("IMPRESSION", ""),
        headings=_headings(node.text or "" for node in document.iterfind(".//MeSH/major")),
        images=tuple(dict.fromkeys(name for name in images if name)),
    )


def _from_table(table: Path, projections: dict[str, list[str]]) -> list[Report]:
    frame = read_table(table, ["uid", "findings", "impression"], ["MeSH"])
    mesh = frame["MeSH"] if "MeSH" in frame else [""] * len(frame)
    rows = zip(frame["uid"], frame["findings"], frame["impression"], mesh, strict=True)
    return [
        Report(
            f"CXR{uid}", findings, impression, _headings(heads.split(";")), tuple(projections.get(uid, []))
        )
        for uid, findings, impression, heads in rows
    ]


def _projections(root: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return view by image stem and image names by report, from the repackaging's table where it exists."""
    table = find_table(root, _PROJECTIONS)
    views: dict[str, str] = {}
    names: dict[str, list[str]] = {}
    if table is not None:
        frame = read_table(table, ["uid", "filename", "projection"])
        for uid, name, view in zip(frame["uid"], frame["filename"], frame["projection"], strict=True):
            views[_stem(name)] = view.upper()
            names.setdefault(uid, []).append(name)
    return views, names


def _stem(image: str) -> str:
    """Return the name common to both publications, e.g. ``1_IM-0001-3001`` for CXR1_1_IM-0001-3001."""
    return _PREFIX.sub(r"\1_\2", _bare(image))


def _bare(image: str) -> str:
    return _ENDINGS.sub("", image)


def _headings(texts: Iterable[str]) -> tuple[str, ...]:
    heads = (_head(text) for text in texts)
    return tuple(head for head in heads if head not in _UNINDEXED)


def _head(text: str) -> str:
    """Return the heading that labels are looked up by, lower case and without qualifiers.

    MeSH inverts names (``Pneumonia, Viral``), and a qualifier may say what a heading leaves open.
    """
    first, *qualifiers = (part.strip() for part in text.lower().split("/"))
    for place in qualifiers:
        if (first, place) in _QUALIFIED:
            return _QUALIFIED[first, place]
    if first in _UNSPECIFIC and not set(qualifiers).isdisjoint(_OTHER_PLACES):
        return f"{first} elsewhere"
    return "pneumonia" if first.startswith("pneumonia,") else first


def _label(headings: Sequence[str], wanted: Sequence[str]) -> str:
    if not headings:
        return ""
    return "1" if any(head in wanted for head in headings) else "0"


def _paths(root: Path, names: Sequence[str]) -> list[str]:
    """Return the path of each image, in the folders and with the suffixes of both publications."""
    places = [root / inside for inside in _IMAGE_FOLDERS if (root / inside).is_dir()]
    there = [path for place in reversed(places) for path in _images(place)]
    files = {_stem(path.name): str(path) for path in there} | {_bare(path.name): str(path) for path in there}
    absent = (f"{places[0]}/{name}{'' if '.' in name else '.png'}" for name in names)
    return [
        files.get(_bare(name)) or files.get(_stem(name)) or path
        for name, path in zip(names, absent, strict=True)
    ]


def _images(folder: Path) -> Iterable[Path]:
    return (path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".dcm"))
