"""Find the tables and images of a download, and report what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tier_cli.datasets.info import DatasetInfo
from tier_cli.errors import ManifestError

# The kind of the error of a folder that does not hold the data set at all.
WRONG_ROOT = "wrong_root"
# In order of preference where one image comes in several forms: originals before conversions.
_SUFFIXES = (".dicom", ".dcm", ".png", ".jpg", ".jpeg")
_MOST_LISTED = 8


def find_table(folder: Path, *names: str) -> Path | None:
    """Return the first of `names` that is in `folder`, plain or gzipped; names end in ``.csv``."""
    for name in names:
        plain = name.removesuffix(".gz")
        for path in (folder / plain, folder / f"{plain}.gz"):
            if path.is_file():
                return path
    return None


def require_table(info: DatasetInfo, folder: Path, *names: str) -> Path:
    """Return the first of `names` that is in `folder`, plain or gzipped.

    Raises
    ------
    ManifestError
        None of them is there; see `wrong_root`.
    """
    path = find_table(folder, *names)
    if path is None:
        raise wrong_root(info, folder, *names)
    return path


def wrong_root(
    info: DatasetInfo, folder: Path, *looked_for: str, what: str | None = None, kind: str | None = None
) -> ManifestError:
    """Return the error of an unexpected root: what was looked for and what was found there.

    Its kind is ``wrong_root`` unless `what` names another problem.
    """
    try:
        entries = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
        inside = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in entries)
    except OSError as error:
        inside = [f"nothing readable ({error.strerror})"]
    found = ", ".join(inside[:_MOST_LISTED]) or "nothing"
    more = f" and {len(inside) - _MOST_LISTED} more" if len(inside) > _MOST_LISTED else ""
    return ManifestError(
        f"{what or f'this is not {info.title}'}: looked for {' or '.join(looked_for)}, found {found}{more}",
        where=str(folder),
        remedy=f"point --root at the folder that holds {info.layout.splitlines()[0].strip()}",
        kind=kind or (WRONG_ROOT if what is None else None),
    )


def absent_split(info: DatasetInfo, folder: Path, split: str, *looked_for: str) -> ManifestError:
    """Return the error of a split that the data set has and this folder lacks (kind ``no_split``)."""
    return wrong_root(
        info, folder, *looked_for, kind="no_split", what=f"the {split} split of {info.title} is missing"
    )


def first_folder(folders: Iterable[Path]) -> Path | None:
    """Return the first of the folders that exists."""
    return next((folder for folder in folders if folder.is_dir()), None)


def images_in(folders: Iterable[Path]) -> dict[str, str]:
    """Return the images that lie directly in any of the folders: stem -> path.

    Folders are listed once, which is much faster than a look-up per image. Earlier folders win.
    """
    found: dict[str, str] = {}
    for folder in folders:
        here: dict[str, str] = {}
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    _add_image(here, entry.name, entry.path)
        except OSError:
            continue
        found = here | found
    return found


def images_below(folder: Path) -> dict[str, str]:
    """Return the images at any depth below a folder, stem -> path, without those in folders of masks."""
    found: dict[str, str] = {}
    for parent, folders, names in os.walk(folder):
        # Masks are often pictures with the same names as their images.
        folders[:] = sorted(name for name in folders if "mask" not in name.lower())
        for name in sorted(names):
            _add_image(found, name, os.path.join(parent, name))
    return found


def _add_image(found: dict[str, str], name: str, path: str) -> None:
    stem, suffix = os.path.splitext(name)
    # Archives made on macOS contain ._files that are not images.
    if suffix.lower() not in _SUFFIXES or name.startswith("."):
        return
    if stem not in found or _rank(path) < _rank(found[stem]):
        found[stem] = path


def _rank(path: str) -> int:
    return _SUFFIXES.index(os.path.splitext(path)[1].lower())
