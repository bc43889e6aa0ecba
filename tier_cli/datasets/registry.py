"""Look up public data sets by name."""

from __future__ import annotations

from collections.abc import Mapping

from tier_cli.datasets.catalogue import ENTRIES
from tier_cli.datasets.info import DatasetInfo
from tier_cli.errors import UsageError, did_you_mean

# The value of --dataset for a manifest of the user's own.
CSV = "csv"
DATASETS: Mapping[str, DatasetInfo] = {entry.name: entry for entry in ENTRIES}
_ALIASES = {alias: entry.name for entry in ENTRIES for alias in entry.aliases}


def dataset_names() -> tuple[str, ...]:
    """Return the values that ``--dataset`` accepts: ``csv`` and every public data set."""
    return (CSV, *DATASETS)


def trainable_names() -> tuple[str, ...]:
    """Return the public data sets that ``tier train`` accepts."""
    return tuple(name for name, info in DATASETS.items() if info.trainable)


def dataset_name(name: str) -> str:
    """Return the name that an alias stands for; any other name unchanged."""
    return _ALIASES.get(name.lower(), name)


def dataset_info(name: str) -> DatasetInfo:
    """Return a data set by its name or an alias.

    Raises
    ------
    UsageError
        No data set has that name.
    """
    try:
        return DATASETS[dataset_name(name)]
    except KeyError:
        raise UsageError(
            f"unknown data set {name!r}{did_you_mean(name, dataset_names())}",
            where="--dataset",
            remedy=f"use one of {', '.join(dataset_names())}",
        ) from None


def patient_namespace(name: str) -> str:
    """Return whose patient keys a data set uses; empty for a name that is not in the registry.

    Equal keys of one namespace are the same patient. The name may come from a manifest's column `source`:
    case and surrounding spaces do not matter.
    """
    info = DATASETS.get(dataset_name(name.strip().lower()))
    return "" if info is None else info.patient_namespace


def may_share_images(one: str, other: str) -> bool:
    """Return whether two public data sets have images of a common archive."""
    return not set(dataset_info(one).image_sources).isdisjoint(dataset_info(other).image_sources)
