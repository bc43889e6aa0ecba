"""Hold what all written DICOM objects share: who made them, their files, and the warning in them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.files.atomic import create_private, whole_file
from tier_cli.imaging.header import import_pydicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from tier_cli.results.record import ModelStamp

MANUFACTURER = "TIER (open source)"
WARNING = "For research use; not for clinical diagnosis."
# Characters of a long string (LO) and of a code meaning, PS3.5 6.2.
LONGEST_TEXT = 64


def import_highdicom() -> None:
    """Import highdicom; where it is not installed, ModuleNotFoundError, which names its extra."""
    import_pydicom()
    import highdicom  # noqa: F401


def write_object(folder: Path, dataset: Dataset) -> Path:
    """Write a DICOM object under its SOP Instance UID, whole or not at all, readable only by its owner."""
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    # pydicom would replace an error of the disk by one that does not tell the reason.
    content = content_of(dataset)
    with whole_file(path) as partial, create_private(partial) as file:
        file.write(content)
    return path


def content_of(dataset: Dataset) -> bytes:
    """Return the bytes of a DICOM object's file."""
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


def name_of(model: ModelStamp) -> str:
    """Return the name of a model as an LO holds it."""
    return model.name.replace("\\", "/")[:LONGEST_TEXT] or "unnamed"
