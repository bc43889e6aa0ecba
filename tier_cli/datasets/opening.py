"""Open the data that a command names: a manifest of the user's own, or a public data set."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from tier_cli.datasets.download import WRONG_ROOT
from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.datasets.registry import CSV, DATASETS, dataset_info, dataset_name
from tier_cli.datasets.split_names import usual_split
from tier_cli.errors import ManifestError, UsageError, did_you_mean
from tier_cli.reports.sections import PARTS, section

ROOT_VARIABLE = "TIER_DATA_ROOT"
# physionet.org/files/vindr-cxr/1.0.0
_DEPTH = 4
_VERSION = re.compile(r"v?\d+(\.\d+)+")


def open_data(
    dataset: str,
    data: Path | None,
    root: Path | None,
    split: str | None = None,
    text: str | None = None,
) -> Manifest:
    """Open a manifest of the user's own or a public data set.

    Parameters
    ----------
    dataset
        ``csv`` or a name or alias in the registry.
    data
        The manifest; for ``csv`` only.
    root
        The folder of a public data set (TIER_DATA_ROOT when None), or the folder of a manifest's images.
    split
        A split of a public data set; None for its default, ``all`` for every split. Rows of a manifest are
        not chosen here: its splits may have any names.
    text
        The part of the reports that fills the column `text`: ``impression``, ``findings`` or ``both``. None
        reads no reports of a public data set and leaves the texts of a manifest unchanged.

    Raises
    ------
    UsageError
        Options that exclude each other, an unknown data set, split or part of a report.
    ManifestError
        The files cannot be used.
    """
    if dataset == CSV:
        if data is None:
            raise UsageError(
                "no data given",
                where="--data",
                remedy="give --data MANIFEST.csv, or --dataset NAME with --root FOLDER",
            )
        manifest = read_manifest(data, root)
        return manifest if text is None else _with_sections(manifest, text)
    dataset, info = dataset_name(dataset), dataset_info(dataset)
    if data is not None:
        raise UsageError(
            f"a manifest and {info.title} cannot be used together",
            where="--data",
            remedy="leave out --data or --dataset",
        )
    folders, name = data_roots(dataset, root), wanted_split(dataset, split)
    try:
        return _read_first(dataset, folders, name, text)
    except ManifestError as error:
        # Many copies of CheXpert lack the test labels: its valid split is then the one to evaluate.
        if split is not None or error.kind != "no_split" or "valid" not in info.splits:
            raise
        manifest = _read_first(dataset, folders, "valid", text)
        notes = (f"no {name} split on disk: using the valid split instead", *manifest.notes)
        return replace(manifest, notes=notes)


def read_dataset(name: str, root: Path, split: str | None, text: str | None = None) -> Manifest:
    """Read a public data set as a manifest.

    Parameters
    ----------
    name
        A name or alias in the registry.
    root
        The folder of the download.
    split
        One split; None for every split on disk, as training needs them.
    text
        Fill the column `text` from the reports: ``impression``, ``findings`` or ``both``; None reads none.

    Raises
    ------
    ManifestError
        The folder or a table is missing, or a table has unexpected contents.
    UsageError
        An unknown data set or split, or reports of a data set that has none.
    """
    info = dataset_info(name)
    if split is not None and split not in info.splits:
        raise UsageError(
            f"{info.title} has no split {split!r}{did_you_mean(split, info.splits)}",
            where="--split",
            remedy=f"use {', '.join(info.splits)}",
        )
    options: dict[str, Any] = {}
    if text is not None:
        _check_part(text)
        if not info.reports:
            raise UsageError(f"{info.title} has no reports", where="--text", remedy="leave it out")
        options["text"] = text
    reader = import_module(f"tier_cli.datasets.readers.{info.name.replace('-', '_')}")
    manifest: Manifest = reader.read(root, split, **options)
    return manifest


def data_roots(name: str, root: Path | None) -> tuple[Path, ...]:
    """Return the folders to look for a data set in: `root` or TIER_DATA_ROOT, then its subfolder `name`.

    The folder itself comes first: readers know the parts that lie side by side in it, such as CheXpert's
    images and its radiologists' reads.

    Raises
    ------
    UsageError
        Neither is given.
    ManifestError
        The folder does not exist.
    """
    given, where = (str(root), "--root") if root is not None else (os.environ.get(ROOT_VARIABLE), "")
    if not given:
        raise UsageError(
            f"no folder given for {dataset_info(name).title}",
            where="--root",
            remedy=f"name the folder of the download, or set {ROOT_VARIABLE}",
        )
    folder = Path(given).expanduser().absolute()
    if not folder.is_dir():
        raise ManifestError("no such folder", where=str(folder), remedy=f"check {where or ROOT_VARIABLE}")
    if (folder / name).is_dir():
        return folder, folder / name
    info = DATASETS.get(name)
    names = {name, *(() if info is None else info.aliases)}
    inside = sorted(path for path in folder.iterdir() if _normalised(path.name) in names and path.is_dir())
    return folder, *inside[:1]


def wanted_split(dataset: str, split: str | None) -> str | None:
    """Return the split under its name in the registry: the default for None, None (all) for ``all``."""
    name = usual_split((split or dataset_info(dataset).default_split).strip())
    return None if name == "all" else name


def _read_first(dataset: str, folders: Sequence[Path], split: str | None, text: str | None) -> Manifest:
    """Read the first folder that holds the data set, or a folder that a download was unpacked into.

    Where none does, the error of the last of `folders` is raised.
    """
    failure: ManifestError | None = None
    for folder in (*folders, *dict.fromkeys(inner for outer in folders for inner in _unpacked(outer))):
        try:
            return read_dataset(dataset, folder, split, text)
        except ManifestError as error:
            if error.kind != WRONG_ROOT:
                raise
            if folder in folders:
                failure = error
    raise failure or ManifestError("no folder to read")


def _unpacked(folder: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """Yield the folders that a download makes: those of a version, such as ``1.0.0``, and lone ones."""
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return
    newest_first = sorted(
        (path for path in inside if _VERSION.fullmatch(path.name)), key=_numbers, reverse=True
    )
    for path in newest_first or (inside if len(inside) == 1 else []):
        yield path
        if depth > 1:
            yield from _unpacked(path, depth - 1)


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.name)]


def _with_sections(manifest: Manifest, part: str) -> Manifest:
    """Replace each report in the column `text` by one part of it, and note how many lack that part.

    Raises
    ------
    UsageError
        An unknown part.
    ManifestError
        No cell of the column `text` is a report with that part.
    """
    _check_part(part)
    reports = manifest.column("text").tolist()
    texts = [section(report, part) for report in reports]
    filled = sum(map(bool, texts))
    lost = sum(bool(report) and not text for report, text in zip(reports, texts, strict=True))
    what = "findings or impression" if part == "both" else part
    if not filled:
        raise ManifestError(
            f"no cell of the column `text` is a report with {what}",
            where=manifest.origin,
            remedy="leave out --text to use the texts unchanged",
        )
    notes = (f"reports without {what}: {lost} of {filled + lost}",) if lost else ()
    return replace(manifest, frame=manifest.frame.assign(text=texts), notes=(*manifest.notes, *notes))


def _check_part(text: str) -> None:
    if text not in PARTS:
        raise UsageError(
            f"unknown part of a report: {text!r}{did_you_mean(text, PARTS)}",
            where="--text",
            remedy=f"use {', '.join(PARTS)}",
        )


def _normalised(name: str) -> str:
    """Return a folder's name in the registry's form: ``MIMIC_CXR`` is ``mimic-cxr``."""
    return name.lower().replace("_", "-").replace(" ", "-")
