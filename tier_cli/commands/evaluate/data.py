"""Parse the options of `tier eval`, of which `tier calibrate` and `tier adapt` share --exclude."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tier_cli.datasets.registry import CSV, dataset_info
from tier_cli.errors import UsageError
from tier_cli.evaluation.data_set import DataSet


def exclusions(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Parse ``--exclude`` into (column, value) pairs.

    Raises
    ------
    UsageError
        A text is not COLUMN=VALUE.
    """
    pairs = []
    for text in texts:
        column, equals, value = text.partition("=")
        if not (column and equals):
            raise UsageError(f"{text!r} is not COLUMN=VALUE", where="--exclude", remedy="e.g. contradicted=1")
        pairs.append((column.strip(), value))
    return tuple(pairs)


def prevalences(texts: Sequence[str]) -> float | dict[str, float] | None:
    """Parse ``--prevalence``: one share for all findings, or shares by finding; None without any.

    Raises
    ------
    UsageError
        A text is neither SHARE nor FINDING=SHARE, a finding is repeated, or both forms are mixed.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            share = float(value)
        except ValueError:
            raise UsageError(
                f"{text!r} is neither SHARE nor FINDING=SHARE",
                where="--prevalence",
                remedy="e.g. 0.02 or pneumothorax=0.02",
            ) from None
        if name.strip() in found:
            raise UsageError(
                f"{text!r} is a second value", where="--prevalence", remedy="give each finding one value"
            )
        found[name.strip()] = share
    if "" not in found:
        return found or None
    if len(found) > 1:
        raise UsageError(
            "one share for all findings cannot be combined with FINDING=SHARE",
            where="--prevalence",
            remedy="name every finding, or none",
        )
    return found[""]


def data_sets(texts: Sequence[str]) -> list[DataSet]:
    """Parse ``--dataset NAME`` or ``NAME=FOLDER``, or ``csv=FILE`` for a manifest.

    Raises
    ------
    UsageError
        An unknown data set, or one of several manifests without a file.
    """
    found = []
    for text in texts:
        name, equals, place = text.partition("=")
        if name != CSV:
            name = dataset_info(name).name
        if (equals and not place) or (name == CSV and not equals and len(texts) > 1):
            raise UsageError(
                f"{text!r} does not say where the data are",
                where="--dataset",
                remedy=f"e.g. {name}={'MANIFEST.csv' if name == CSV else 'FOLDER'}",
            )
        found.append(DataSet(name, Path(place) if place else None))
    return found


def only_data_set(
    given: Sequence[DataSet], data: Path | None, root: Path | None
) -> tuple[str, Path | None, Path | None]:
    """Return name, manifest and folder of the one data set that is evaluated.

    Raises
    ------
    UsageError
        Its folder or file is given twice.
    """
    (one,) = given or [DataSet(CSV)]
    if one.place is None:
        return one.name, data, root
    option, other = ("--data", data) if one.name == CSV else ("--root", root)
    if other is not None:
        raise UsageError("is also given with --dataset", where=option, remedy="leave one of them out")
    return (CSV, one.place, root) if one.name == CSV else (one.name, data, one.place)
