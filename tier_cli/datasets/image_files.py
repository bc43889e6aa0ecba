"""The image files of a data set, found by listing folders once instead of asking for each file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tier_cli.errors import ManifestError

# In this order where one image is there in several forms: the original before what people made of it.
_SUFFIXES = (".dicom", ".dcm", ".png", ".jpg", ".jpeg")


def images_in(folders: Iterable[Path]) -> dict[str, str]:
    """Give the images that lie directly in any of the folders: stem -> path, the first folder first."""
    found: dict[str, str] = {}
    for folder in folders:
        here: dict[str, str] = {}
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    _add(here, entry.name, entry.path)
        except OSError:
            continue
        found = here | found
    return found


def images_below(folder: Path) -> dict[str, str]:
    """Give the images at any depth below a folder: stem -> path; folders of masks are passed over."""
    found: dict[str, str] = {}
    for parent, folders, names in os.walk(folder):
        # Masks are often pictures of the same names as their images.
        folders[:] = sorted(name for name in folders if "mask" not in name.lower())
        for name in sorted(names):
            _add(found, name, os.path.join(parent, name))
    return found


def _add(found: dict[str, str], name: str, path: str) -> None:
    stem, suffix = os.path.splitext(name)
    # macOS archives carry ._files that are no images.
    if suffix.lower() not in _SUFFIXES or name.startswith("."):
        return
    if stem not in found or _rank(path) < _rank(found[stem]):
        found[stem] = path


def _rank(path: str) -> int:
    return _SUFFIXES.index(os.path.splitext(path)[1].lower())


def first_folder(folders: Iterable[Path]) -> Path | None:
    """Give the first of the folders that exists."""
    return next((folder for folder in folders if folder.is_dir()), None)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    ManifestError
        It cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(
            f"cannot be read as JSON ({type(error).__name__})", where=str(path), remedy="download it again"
        ) from error
