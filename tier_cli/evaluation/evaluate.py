"""From a manifest and one or two score sets to a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.errors import ManifestError
from tier_cli.evaluation.measure import Labelled, Measured, compare, measure, settle_uncertain
from tier_cli.evaluation.report import Group, Protocol, Report

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.scores import Scores
    from tier_cli.findings.schema import FindingSet

_FEW = 10
_MOST_GROUPS = 30


@dataclass(frozen=True)
class Selection:
    """The rows that are evaluated, and how they were chosen."""

    manifest: Manifest
    split: str
    excluded: tuple[str, ...]
    notes: tuple[str, ...]


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
    notes = list(manifest.notes)
    for column, value in exclude:
        before = len(chosen)
        chosen = chosen.without(column, value)
        notes.append(f"images left out by {column}={value}: {before - len(chosen)} of {before}")
    if frontal_only:
        chosen = _frontal(chosen, notes)
    _check_rows(chosen)
    for column in by:
        _group_values(chosen.column(column), column)
    return Selection(chosen, name, tuple(f"{column}={value}" for column, value in exclude), tuple(notes))


def labelled(selection: Selection, findings: FindingSet, uncertain: str) -> tuple[Selection, Labelled]:
    """The labels of the findings that have a column, and the images that have a label.

    Notes are added about findings without a column, uncertain labels and images without any label.

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
    labels = settle_uncertain(raw, uncertain)
    there = np.asarray(np.isfinite(labels).any(axis=1))
    if not there.any():
        raise ManifestError(
            "every label is blank or left out", where=manifest.origin, remedy="check --uncertain"
        )
    notes = _label_notes(findings, tuple(columns), int((raw == -1).sum()), uncertain, int((~there).sum()))
    chosen = replace(selection, manifest=manifest.where(there), notes=(*selection.notes, *notes))
    return chosen, Labelled(tuple(columns), labels[there], chosen.manifest.patients())


def _label_notes(
    findings: FindingSet, known: tuple[str, ...], unsure: int, uncertain: str, bare: int
) -> list[str]:
    notes = []
    absent = [name for name in findings.ids if name not in known]
    if absent:
        notes.append(f"no label column for {', '.join(absent)}")
    if unsure:
        fate = "left out" if uncertain == "ignore" else f"counted as {uncertain}"
        notes.append(f"uncertain labels (-1) {fate}: {unsure}")
    if bare:
        notes.append(f"images without any label left out: {bare}")
    return notes


def build_report(
    selection: Selection,
    truth: Labelled,
    scores: Sequence[Scores],
    protocol: Protocol,
    by: Sequence[str] = (),
) -> Report:
    """Measure one score set, or two and their difference on the images that both have.

    Parameters
    ----------
    selection, truth
        The images and their labels.
    scores
        One or two, as wide as the labels.
    protocol
        What is being done.
    by
        Columns of the manifest to measure within.
    """
    values = [one.of(truth.findings) for one in scores]
    there = np.isfinite(values).all(axis=0)
    values = [np.where(there, one, np.nan) for one in values]
    named = list(zip([one.name for one in scores], values, strict=True))
    how = protocol.resampling
    measured = tuple(measure(name, truth, one, how) for name, one in named)
    said = [*selection.notes, *(note for one in scores for note in one.notes)]
    difference = None
    if len(named) == 2:
        (first, ours), (second, theirs) = named
        difference = compare(f"{first} minus {second}", truth, ours, theirs, how)
        said.append(f"both were measured on the {measured[0].n} images that both have scores for")
    groups = []
    for column in by:
        cells = selection.manifest.column(column)
        for value in _group_values(cells, column):
            keep = cells == value
            inside = tuple(measure(name, truth.where(keep), one[keep], how) for name, one in named)
            groups.append(Group(column, value, inside))
    # An image that both score sets lack is listed once.
    unscored = {image.path: image for one in reversed(scores) for image in one.unscored}
    said += _few(measured[0])
    return Report(protocol, measured, difference, tuple(groups), tuple(unscored.values()), tuple(said))


def _default_split(manifest: Manifest) -> str:
    there = {str(name).lower() for name in manifest.column("split")}
    return next((name for name in ("test", "valid") if name in there), "all")


def _frontal(manifest: Manifest, notes: list[str]) -> Manifest:
    lateral = np.array([_is_lateral(str(view)) for view in manifest.column("view")], dtype=bool)
    if not lateral.any():
        return manifest
    notes.append(f"lateral images left out: {int(lateral.sum())}; --views all takes them")
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


def _is_lateral(view: str) -> bool:
    view = view.upper()
    return view in ("L", "LL", "RL") or "LAT" in view


def _group_values(cells: np.ndarray[tuple[int], np.dtype[np.str_]], column: str) -> list[str]:
    values = sorted({str(cell) for cell in cells})
    if len(values) > _MOST_GROUPS:
        raise ManifestError(
            f"column {column!r} has {len(values)} different values",
            where="--by",
            remedy=f"choose columns of at most {_MOST_GROUPS} groups",
        )
    return values


def _few(measured: Measured) -> list[str]:
    few = [r.finding for r in measured.rows if r.both_classes and min(r.positives, r.n - r.positives) < _FEW]
    if not few:
        return []
    return [f"fewer than {_FEW} images of one class, so the interval says little: {', '.join(few)}"]
