"""Read COVID-QU-Ex (Tahir et al., 2021): COVID-19, other pneumonia and normal images of many sources."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.datasets.build import build_manifest
from tier_cli.datasets.download import absent_split, first_folder, images_in, wrong_root
from tier_cli.datasets.regions import Region, mask_cell
from tier_cli.datasets.registry import DATASETS

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest

INFO = DATASETS["covid-qu-ex"]

_FOLDERS = {"train": "Train", "valid": "Val", "test": "Test"}
# Folder -> labels of COVID-19 (against other pneumonia, so blank in normal images), pneumonia, no finding.
_CLASSES = {"COVID-19": ("1", "1", "0"), "Non-COVID": ("0", "1", "0"), "Normal": ("", "0", "1")}
_LABELS = ("COVID-19", "Pneumonia", "No Finding")
_PARTS = ("Lung Segmentation Data", "Infection Segmentation Data")
# Images from BIMCV have names such as sub-S10880_ses-E18932_run-1.png.
_SUBJECT = re.compile(r"(sub-[A-Za-z0-9]+)_(ses-[A-Za-z0-9]+)?")


def read(root: Path, split: str | None) -> Manifest:
    """Read the lung part, which has all images, or where it is missing the infection part.

    Infection masks come from the infection part where that contains the same file. The two parts are split
    differently; the split of the part that is read counts.

    Raises
    ------
    ManifestError
        Both parts or all their images are missing.
    """
    whole, infected = _part(root, _PARTS[0]), _part(root, _PARTS[1])
    part = whole or infected or root
    masks = _masks(infected or part)
    columns: dict[str, list[str]] = {
        name: [] for name in ("path", "patient", "study", "split", *_LABELS, "mask")
    }
    for name, folder in _FOLDERS.items():
        for kind, labels in _CLASSES.items():
            images = images_in([part / folder / kind / "images"]) if split in (None, name) else {}
            for stem, path in sorted(images.items()):
                subject = _SUBJECT.match(stem)
                columns["path"].append(path)
                columns["patient"].append(subject[1] if subject else "")
                columns["study"].append(f"{subject[1]}/{subject[2]}" if subject and subject[2] else "")
                columns["split"].append(name)
                columns["mask"].append(_mask(masks, stem, path) if kind == "COVID-19" else "")
                for label, cell in zip(_LABELS, labels, strict=True):
                    columns[label].append(cell)
    if not columns["path"]:
        if split is None or part is root:
            raise wrong_root(INFO, part, *_PARTS)
        raise absent_split(INFO, part, split, f"{_FOLDERS[split]}/COVID-19/images")
    columns["source"] = [INFO.name] * len(columns["path"])
    blank = columns["patient"].count("")
    notes = (
        [f"{blank} of {len(columns['path'])} images have no patient: each counts as one patient"]
        if blank
        else []
    )
    return build_manifest(columns, part, root, notes)


def _part(root: Path, name: str) -> Path | None:
    """Find a part by its name; archives nest it in a folder of the same name, some copies write _."""
    names = (name, name.replace(" ", "_"))
    if root.name in names and (root / _FOLDERS["test"]).is_dir():
        return root
    places = [root / outer / inner for outer in names for inner in (*names, "")]
    return first_folder(place for place in places if any((place / f).is_dir() for f in _FOLDERS.values()))


def _masks(part: Path) -> dict[str, tuple[str, str]]:
    """Return stem -> (image, infection mask) for the COVID-19 images of the infection part."""
    found: dict[str, tuple[str, str]] = {}
    for folder in _FOLDERS.values():
        place = part / folder / "COVID-19"
        masks = images_in([place / "infection masks"])
        images = images_in([place / "images"])
        found |= {stem: (path, masks[stem]) for stem, path in images.items() if stem in masks}
    return found


def _mask(masks: dict[str, tuple[str, str]], stem: str, path: str) -> str:
    image, mask = masks.get(stem, ("", ""))
    # Equal names in the two parts are the same image only where the files are the same.
    if not mask or (image != path and os.path.getsize(image) != os.path.getsize(path)):
        return ""
    return mask_cell([Region("COVID-19", path=mask)])
