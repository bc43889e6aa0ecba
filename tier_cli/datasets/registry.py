"""The public data sets by name: what each is, where its parts lie, and how to open one as a manifest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.errors import ManifestError, UsageError

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest

ROOT_VARIABLE = "TIER_DATA_ROOT"
CSV = "csv"
# The kind of the error of a folder that is not the data set at all.
WRONG_ROOT = "wrong_root"
TEXTS = ("impression", "findings", "both")
# One module a name, `-` written `_`; each has INFO and read().
_NAMES = (
    "chexpert",
    "chexpert-5x200",
    "mimic-cxr",
    "padchest",
    "openi",
    "nih14",
    "nih14-expert",
    "nih4-expert",
    "vindr",
    "rsna",
    "siim",
    "ms-cxr",
    "chexlocalize",
    "chestx-det10",
    "covid-qu-ex",
)
# What others call them.
_ALIASES = {"nih": "nih14"}
# What others call splits.
SPLIT_NAMES = {
    "val": "valid",
    "validate": "valid",
    "validation": "valid",
    "dev": "valid",
    "training": "train",
    "testing": "test",
}


@dataclass(frozen=True)
class DatasetInfo:
    """What a public data set is, without reading it.

    Parameters
    ----------
    name
        What ``--dataset`` calls it.
    title
        Its name for people.
    findings
        The built-in finding set that its labels are.
    splits
        The splits it can have, in the order in which people name them.
    default_split
        The one to evaluate when none is named.
    unit
        What is evaluated by default, as others who use it do: ``image`` or ``study``.
    layout
        The short tree that is expected under the root, for errors and documents.
    module
        The module that reads it.
    reports
        Whether it has report texts, so that ``read`` takes a ``text``.
    exclusive
        Every image has exactly one positive finding: accuracy can be reported beside AUC.
    """

    name: str
    title: str
    findings: str
    splits: tuple[str, ...]
    default_split: str
    unit: str
    layout: str
    module: str
    reports: bool = False
    exclusive: bool = False


class _Registry(Mapping[str, DatasetInfo]):
    """Data sets by name; a module is imported when its entry is asked for."""

    def __getitem__(self, name: str) -> DatasetInfo:
        if name not in _NAMES:
            raise KeyError(name)
        info: DatasetInfo = import_module(_module(name)).INFO
        return info

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


DATASETS: Mapping[str, DatasetInfo] = _Registry()


def dataset_names() -> tuple[str, ...]:
    """What ``--dataset`` takes: ``csv`` and every public data set."""
    return (CSV, *DATASETS)


def dataset_name(name: str) -> str:
    """The name used here of a data set that others call otherwise; any other name as it is."""
    return _ALIASES.get(name.lower(), name)


def dataset_info(name: str) -> DatasetInfo:
    """Give a data set by name.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    try:
        return DATASETS[dataset_name(name)]
    except KeyError:
        close = get_close_matches(name.lower(), dataset_names(), n=1)
        hint = f"did you mean {close[0]}?" if close else f"use one of {', '.join(dataset_names())}"
        raise UsageError(
            f"{name!r} is no data set that is known here", where="--dataset", remedy=hint
        ) from None


def read_dataset(name: str, root: Path, split: str | None, text: str | None = None) -> Manifest:
    """Read a public data set as a manifest.

    Parameters
    ----------
    name
        One of `DATASETS`.
    root
        The folder of the download.
    split
        One split; None for every split that is on disk, as for training.
    text
        Fill the `text` column from the reports: ``impression``, ``findings`` or ``both``; None reads none.

    Raises
    ------
    ManifestError
        The folder or a table is absent, or a table is not what it should be.
    UsageError
        An unknown data set or split, or reports wanted of a data set that has none.
    """
    info = dataset_info(name)
    if split is not None and split not in info.splits:
        raise UsageError(
            f"{info.title} has no split {split!r}", where="--split", remedy=f"use {', '.join(info.splits)}"
        )
    options: dict[str, Any] = {}
    if text is not None:
        if text not in TEXTS:
            raise UsageError(
                f"{text!r} is no part of a report", where="--text", remedy=f"use {', '.join(TEXTS)}"
            )
        if not info.reports:
            raise UsageError(f"{info.title} has no reports", where="--text", remedy="leave it out")
        options["text"] = text
    manifest: Manifest = import_module(info.module).read(root, split, **options)
    return manifest


def data_roots(name: str, root: Path | None) -> tuple[Path, ...]:
    """The folders to look for a data set in: `root`, or else TIER_DATA_ROOT; then its subfolder `name`.

    The folder itself comes first: readers know the parts that lie side by side in it, such as CheXpert's
    images and its radiologists' reads.

    Raises
    ------
    UsageError
        Neither is given.
    ManifestError
        The folder is not there.
    """
    given, where = (str(root), "--root") if root is not None else (os.environ.get(ROOT_VARIABLE), "")
    if not given:
        raise UsageError(
            f"where is {dataset_info(name).title}?",
            where="--root",
            remedy=f"name the folder of the download, or set {ROOT_VARIABLE}",
        )
    folder = Path(given).expanduser().absolute()
    if not folder.is_dir():
        raise ManifestError(
            "there is no such folder", where=str(folder), remedy=f"check {where or ROOT_VARIABLE}"
        )
    if (folder / name).is_dir():
        return folder, folder / name
    names = {name, *(other for other, known in _ALIASES.items() if known == name)}
    inside = sorted(path for path in folder.iterdir() if _plain(path.name) in names and path.is_dir())
    return folder, *inside[:1]


def wanted_split(dataset: str, split: str | None) -> str | None:
    """The split by the name used here: the data set's default for None, None (all) for ``all``."""
    name = (split or dataset_info(dataset).default_split).strip().lower()
    return None if name == "all" else SPLIT_NAMES.get(name, name)


def usual_split(name: str) -> str:
    """``train``, ``valid`` or ``test`` for what others call them; any other name in lower case."""
    return SPLIT_NAMES.get(name.lower(), name.lower())


def open_data(
    dataset: str,
    data: Path | None,
    root: Path | None,
    split: str | None = None,
    text: str | None = None,
) -> Manifest:
    """Open what a command's data options name: a manifest of one's own, or a public data set.

    Parameters
    ----------
    dataset
        ``csv`` or one of `DATASETS`.
    data
        The manifest, for ``csv`` alone.
    root
        The folder of a public data set (TIER_DATA_ROOT when None), or the folder of a manifest's images.
    split
        For a public data set: its name, None for the data set's default, ``all`` for every one. Rows of a
        manifest are not chosen here: its splits have any names.
    text
        As in `read_dataset`; a manifest of one's own has its texts in the column `text`.

    Raises
    ------
    UsageError
        Options that do not go together, an unknown data set or split.
    ManifestError
        What is on disk cannot be used.
    """
    if dataset == CSV:
        if data is None:
            raise UsageError(
                "no data are named",
                where="--data",
                remedy="give --data MANIFEST.csv, or --dataset NAME with --root FOLDER",
            )
        from tier_cli.datasets.manifest import read_manifest

        return read_manifest(data, root)
    dataset, info = dataset_name(dataset), dataset_info(dataset)
    if data is not None:
        raise UsageError(
            f"a manifest and {info.title} are two different data",
            where="--data",
            remedy="leave out --data, or --dataset",
        )
    folders, name = data_roots(dataset, root), wanted_split(dataset, split)
    try:
        return _read_first(dataset, folders, name, text)
    except ManifestError as error:
        # Many have CheXpert without its test labels: then its valid split is what there is to measure on.
        if split is not None or error.kind != "no_split" or "valid" not in info.splits:
            raise
        manifest = _read_first(dataset, folders, "valid", text)
        return replace(manifest, notes=(f"there is no split {name} on disk: this is valid", *manifest.notes))


def _read_first(dataset: str, folders: Sequence[Path], split: str | None, text: str | None) -> Manifest:
    """Read the first folder that is the data set; where none is, the error is the last one's."""
    for folder in folders[:-1]:
        try:
            return read_dataset(dataset, folder, split, text)
        except ManifestError as error:
            if error.kind != WRONG_ROOT:
                raise
    return read_dataset(dataset, folders[-1], split, text)


def _plain(name: str) -> str:
    """``MIMIC_CXR`` and ``mimic-cxr`` are one name of a folder."""
    return name.lower().replace("_", "-").replace(" ", "-")


def _module(name: str) -> str:
    return f"tier_cli.datasets.readers.{name.replace('-', '_')}"
