"""Read SIIM-ACR Pneumothorax Segmentation (2019): images of NIH ChestX-ray14 with pneumothorax masks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.datasets.build import build_manifest
from tier_cli.datasets.download import images_below, require_table
from tier_cli.datasets.regions import Region, mask_cell
from tier_cli.datasets.registry import DATASETS
from tier_cli.datasets.rle import from_relative
from tier_cli.datasets.tables import read_table
from tier_cli.errors import ManifestError

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest

INFO = DATASETS["siim"]

_TABLES = ("stage_2_train.csv", "train-rle.csv")
_SIZE = (1024, 1024)
_NONE = "-1"


def read(root: Path, split: str | None) -> Manifest:
    """Read the labelled images, which are all in the challenge's split train: `split` has no effect.

    Raises
    ------
    ManifestError
        The table is missing or a mask cannot be read.
    """
    table = require_table(INFO, root, *_TABLES)
    frame = read_table(table, ["ImageId", "EncodedPixels"])
    masks: dict[str, list[Region]] = {}
    for row, (name, runs) in enumerate(frame.itertuples(index=False, name=None), 1):
        found = masks.setdefault(name, [])
        if runs == _NONE:
            continue
        try:
            found.append(Region("Pneumothorax", size=_SIZE, counts=from_relative(runs, _SIZE)))
        except ValueError as error:
            raise ManifestError(
                str(error), where=f"{table}, row {row}, column 'EncodedPixels'", remedy="download it again"
            ) from error
    known = images_below(root)
    paths = [known.get(name, str(root / "dicom-images-train" / f"{name}.dcm")) for name in masks]
    columns = {
        "path": paths,
        "study": [_study(path) for path in paths],
        "instance": list(masks),
        "split": ["train"] * len(masks),
        "source": [INFO.name] * len(masks),
        "Pneumothorax": ["1" if found else "0" for found in masks.values()],
        "mask": [mask_cell(found) for found in masks.values()],
    }
    notes = ["SIIM-ACR names no patients: each study, or each image without a study, counts as one patient"]
    return build_manifest(columns, table, root, notes)


def _study(path: str) -> str:
    """Return the study of ``<study>/<series>/<image>.dcm``; blank in other folders."""
    folder = Path(path).parent.parent.name
    return folder if re.fullmatch(r"[0-9]+(\.[0-9]+)+", folder) else ""
