"""Which rows of a manifest are evaluated, and what their labels are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.datasets.manifest import patient_notes
from tier_cli.datasets.split_names import usual_split
from tier_cli.datasets.views import lateral_rows
from tier_cli.errors import ManifestError
from tier_cli.evaluation.measure import Labelled, settle_uncertain
from tier_cli.evaluation.subgroups import divide
from tier_cli.evaluation.units import Units, units_of

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import FindingSet


@dataclass(frozen=True)
class Selection:
    """The rows that are evaluated, and how they were chosen.

    `numbers` counts each image's row in the whole table, from 1 below its header.
    """

    manifest: Manifest
    split: str
    excluded: tuple[str, ...]
    notes: tuple[str, ...]
    numbers: Mapping[str, int] = field(default_factory=dict)


def select(
    manifest: Manifest,
    split: str | None,
    exclude: Sequence[tuple[str, str]],
    frontal_only: bool,
    by: Sequence[str] = (),
) -> Selection:
    """Choose the rows of a manifest.

    Parameters
    ----------
    manifest
        All rows.
    split
        Its name; ``all`` for every row; None for ``test`` where there is one, else ``valid``, else every row.
    exclude
        (column, value) pairs whose rows are dropped.
    frontal_only
        Drop rows whose view the manifest calls lateral.
    by
        Columns that will be measured within: checked here, before a model is run for nothing.

    Raises
    ------
    ManifestError
        An unknown column or split, too many groups, nothing left, or an image in two rows.
    """
    name = split or _default_split(manifest)
    chosen = manifest if name == "all" else manifest.split(name)
    dropped: list[str] = []
    for column, value in exclude:
        before = len(chosen)
        chosen = chosen.without(column, value)
        dropped.append(f"images left out by {column}={value}: {before - len(chosen)} of {before}")
    if frontal_only:
        chosen = _frontal(chosen, dropped)
    _check_rows(chosen)
    undecided = _training_rows(chosen) if split is None and name == "all" else []
    notes = (*_said(manifest, chosen), *undecided, *dropped)
    for column in by:
        divide(column, chosen.column(column))
    numbers = {path: row for row, path in enumerate(manifest.paths, 1)}
    excluded = tuple(f"{column}={value}" for column, value in exclude)
    return Selection(chosen, name, excluded, notes, numbers)


@dataclass(frozen=True)
class Truth:
    """Labels by image, as the rows of a manifest are, and by unit.

    Parameters
    ----------
    by_image
        (N, F) labels.
    units
        Which unit each image belongs to.
    by_unit
        (U, F) labels.
    """

    by_image: Labelled
    units: Units
    by_unit: Labelled


def labelled(
    selection: Selection, findings: FindingSet, uncertain: str, unit: str = "image"
) -> tuple[Selection, Truth]:
    """The labels of the findings that have a column, and the images whose unit has a label.

    Notes are added about findings without a column, uncertain labels and units without any label.

    Parameters
    ----------
    selection
        The rows.
    findings
        Whose labels.
    uncertain
        What -1 counts as: ``ignore``, ``positive`` or ``negative``. A unit is -1 only where no image has 1.
    unit
        ``image``, ``study`` or ``patient``.

    Raises
    ------
    ManifestError
        No column is a finding of the set; a cell is no label; all are blank.
    """
    manifest = selection.manifest
    columns = manifest.label_columns(findings)
    if not columns:
        raise ManifestError(
            f"no column is a finding of the finding set {findings.name}",
            where=manifest.origin,
            remedy=f"name the set whose findings the columns are: {', '.join(manifest.frame.columns)}",
        )
    raw = manifest.labels(findings)[:, [findings.ids.index(name) for name in columns]]
    units = units_of(manifest, unit)
    of_units = units.labels(raw)
    settled = settle_uncertain(of_units, uncertain)
    there = np.asarray(np.isfinite(settled).any(axis=1))
    if not there.any():
        raise ManifestError(
            f"every label of split {selection.split} is blank or left out",
            where=manifest.origin,
            remedy="check --uncertain",
        )
    notes = _label_notes(
        findings, tuple(columns), int((of_units == -1).sum()), uncertain, int((~there).sum()), units.plural
    )
    units, images = units.where(there)
    chosen = replace(selection, manifest=manifest.where(images), notes=(*selection.notes, *notes))
    patients, names = chosen.manifest.patients(), tuple(columns)
    by_image = Labelled(names, settle_uncertain(raw[images], uncertain), patients)
    by_unit = Labelled(names, settled[there], units.first(patients))
    return chosen, Truth(by_image, units, by_unit)


def _label_notes(
    findings: FindingSet, known: tuple[str, ...], unsure: int, uncertain: str, bare: int, plural: str
) -> list[str]:
    notes = []
    absent = [name for name in findings.ids if name not in known]
    if absent:
        notes.append(f"no label column for {', '.join(absent)}")
    if unsure:
        fate = "left out" if uncertain == "ignore" else f"counted as {uncertain}"
        notes.append(f"uncertain labels (-1) {fate}: {unsure}")
    if bare:
        notes.append(f"{plural} without any label left out: {bare}")
    return notes


def _default_split(manifest: Manifest) -> str:
    there = sorted({str(name).lower() for name in manifest.column("split")})
    # A name that is the usual one itself goes before others for the same.
    usual = {usual_split(name): name for name in there} | {name: name for name in there}
    return next((usual[name] for name in ("test", "valid") if name in usual), "all")


def _said(manifest: Manifest, chosen: Manifest) -> list[str]:
    """Give the notes of a manifest, those on rows without a patient said of the chosen rows alone."""
    of_all = patient_notes(manifest)
    others = [note for note in manifest.notes if note not in of_all]
    # Readers of public data sets say it in their own words.
    return others if len(others) == len(manifest.notes) else [*others, *patient_notes(chosen)]


def _training_rows(chosen: Manifest) -> list[str]:
    """Say that rows that are usually trained on are measured, though nobody asked for them."""
    splits = [str(name).lower() for name in chosen.column("split")]
    training = [name for name in splits if usual_split(name) == "train"]
    if not training:
        return []
    others = ", ".join(sorted({*splits} - {*training, ""}))
    return [
        f"no split is called test or valid, so every row was taken, {len(training)} of split {training[0]} "
        f"among them: --split names one{f', as {others}' if others else ''}"
    ]


def _frontal(manifest: Manifest, notes: list[str]) -> Manifest:
    lateral = lateral_rows(manifest)
    if not lateral.any():
        return manifest
    notes.append(f"lateral and oblique images left out: {int(lateral.sum())}; --views all takes them")
    return manifest.where(~lateral)


def _check_rows(manifest: Manifest) -> None:
    if not len(manifest):
        raise ManifestError(
            "no image is left to evaluate",
            where=manifest.origin,
            remedy="check --split, --exclude and --views",
        )
    repeated = manifest.repeated_paths()
    if repeated:
        raise ManifestError(
            f"{len(repeated)} images stand in more than one row, the first is {repeated[0]!r}",
            where=manifest.origin,
            remedy="keep one row an image, or each would count several times",
        )
