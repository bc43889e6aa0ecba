"""Read the RSNA Pneumonia Challenge (2018): 26,684 images of NIH ChestX-ray14, read again, with boxes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.datasets.build import build_manifest
from tier_cli.datasets.download import find_table, images_in, require_table
from tier_cli.datasets.regions import Region, boxes_cell
from tier_cli.datasets.registry import DATASETS
from tier_cli.datasets.tables import read_table
from tier_cli.errors import ManifestError

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest

INFO = DATASETS["rsna"]

_TABLE = "stage_2_train_labels.csv"
_CLASSES = "stage_2_detailed_class_info.csv"
_IMAGES = "stage_2_train_images"
_NORMAL = "Normal"
# The size of every original image; smaller copies keep the boxes of the originals.
_SIZE = (1024, 1024)


def read(root: Path, split: str | None) -> Manifest:
    """Read the labelled images, which are all in the challenge's split train: `split` has no effect.

    The table has one row per box. Its `patientId` names an image, and no patient is known.

    `Pneumonia` is the challenge's target, a lung opacity suspicious for
    pneumonia; `No Finding` is its class Normal. Both are 0 in images with other abnormalities.

    Raises
    ------
    ManifestError
        The table is missing or has unexpected contents.
    """
    table = require_table(INFO, root, _TABLE)
    frame = read_table(table, ["patientId", "x", "y", "width", "height", "Target"])
    targets: dict[str, str] = {}
    boxes: dict[str, list[Region]] = {}
    for row, (name, *cells, target) in enumerate(frame.itertuples(index=False, name=None), 1):
        if target not in ("0", "1") or targets.setdefault(name, target) != target:
            raise ManifestError(
                f"image {name} has the target {target!r} in row {row}",
                where=f"{table}, column 'Target'",
                remedy="download it again",
            )
        if target == "1" and all(cells):
            boxes.setdefault(name, []).append(_box(cells, f"{table}, row {row}"))
    classes = _classes(root)
    known = images_in([root / _IMAGES])
    columns = {
        "path": [known.get(name, str(root / _IMAGES / f"{name}.dcm")) for name in targets],
        # patientId differs for two images of one patient: it names the image.
        "patient": [""] * len(targets),
        "instance": list(targets),
        "split": ["train"] * len(targets),
        "source": [INFO.name] * len(targets),
        "Pneumonia": list(targets.values()),
        "No Finding": [_normal(classes.get(name, "")) for name in targets],
        "boxes": [boxes_cell(boxes.get(name, ())) for name in targets],
        "class": [classes.get(name, "") for name in targets],
    }
    notes = ["patientId names an image: patients are unknown, and each image counts as one patient"]
    if not classes:
        notes.append(f"No Finding is blank, as {_CLASSES} is missing")
    elif lacking := sum(name not in classes for name in targets):
        notes.append(f"No Finding is blank in {lacking} of {len(targets)} images: {_CLASSES} lacks them")
    return build_manifest(columns, table, root, notes)


def _box(cells: list[str], where: str) -> Region:
    try:
        x, y, width, height = map(float, cells)
    except ValueError:
        raise ManifestError("the box is not four numbers", where=where, remedy="download it again") from None
    return Region("Pneumonia", box=(x, y, x + width, y + height), size=_SIZE)


def _classes(root: Path) -> dict[str, str]:
    path = find_table(root, _CLASSES)
    if path is None:
        return {}
    frame = read_table(path, ["patientId", "class"])
    return dict(zip(frame["patientId"], frame["class"], strict=True))


def _normal(name: str) -> str:
    return "" if not name else "1" if name == _NORMAL else "0"
