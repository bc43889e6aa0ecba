"""Read CheXpert 5x200: the published list of 1,000 frontal images with exactly one of five findings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.datasets.build import build_manifest
from tier_cli.datasets.download import wrong_root
from tier_cli.datasets.readers.chexpert import (
    COMPETITION,
    base_folders,
    image_of,
    image_paths,
    list_5x200,
    view_of,
)
from tier_cli.datasets.registry import DATASETS
from tier_cli.datasets.tables import read_table, table_columns
from tier_cli.errors import ManifestError

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest

INFO = DATASETS["chexpert-5x200"]
_PUBLISHED = 1000
_PATHS = ("Path", "imgpath")
_REPORT = "Report Impression"


def read(root: Path, split: str | None) -> Manifest:
    """Read the published list. The set cannot be redrawn, as it was drawn without a seed.

    Raises
    ------
    ManifestError
        The list is missing, or an image in it does not have exactly one of the five findings.
    """
    bases = base_folders(root)
    table = list_5x200(bases)
    if table is None:
        raise wrong_root(INFO, root, "chexpert_5x200.csv")
    header = table_columns(table)
    column = next((name for name in _PATHS if name in header), "Path")
    frame = read_table(table, [column, *COMPETITION], [_REPORT])
    labels = {name: [_flag(cell) for cell in frame[name]] for name in COMPETITION}
    for row, cells in enumerate(zip(*labels.values(), strict=True)):
        if cells.count("1") != 1:
            raise ManifestError(
                f"row {row + 1} has {cells.count('1')} of the five findings instead of one",
                where=str(table),
                remedy="use the unchanged published list",
            )
    images = [image_of(path, table) for path in frame[column]]
    # The list was drawn from the training images.
    columns = {
        "path": image_paths(bases, table, "train", images),
        "patient": [image.patient for image in images],
        "study": [f"{image.patient}/{image.study}" for image in images],
        "split": ["test"] * len(images),
        "source": [INFO.name] * len(images),
        "view": [view_of(image.name) for image in images],
        **labels,
    }
    if _REPORT in frame:
        columns["text"] = list(frame[_REPORT])
    notes = ["these images are in CheXpert's training set: do not evaluate models that were trained on it"]
    if len(images) != _PUBLISHED:
        notes.append(f"the published list has {_PUBLISHED} images, this list has {len(images)}")
    return build_manifest(columns, table, root, notes)


def _flag(cell: str) -> str:
    # The list's authors filled blanks with 0; some copies keep the blanks.
    return "1" if cell in ("1", "1.0") else "0"
