"""Read the labels of the selected rows, per image and per unit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import ManifestError
from tier_cli.evaluation.units import Units, units_of

if TYPE_CHECKING:
    from tier_cli.evaluation.selection import Selection
    from tier_cli.findings.schema import FindingSet

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Labelled:
    """Labels of images or units: 1, 0, NaN = blank or left out.

    Parameters
    ----------
    findings
        F finding ids.
    labels
        (N, F).
    patients
        (N,) one patient key per row.
    """

    findings: tuple[str, ...]
    labels: Floats
    patients: Texts

    def where(self, keep: NDArray[np.bool_]) -> Labelled:
        """Return the rows for which `keep` (N,) is true."""
        return Labelled(self.findings, self.labels[keep], self.patients[keep])


@dataclass(frozen=True)
class Truth:
    """Labels by image, in manifest order, and by unit.

    Parameters
    ----------
    by_image
        (N, F) labels.
    units
        The unit of each image.
    by_unit
        (U, F) labels.
    """

    by_image: Labelled
    units: Units
    by_unit: Labelled


def settle_uncertain(labels: Floats, uncertain: str) -> Floats:
    """Replace -1 by a label; blanks stay blank.

    Parameters
    ----------
    labels
        (N, F) 1, 0, -1, NaN.
    uncertain
        ``ignore``, ``positive`` or ``negative``.
    """
    value = {"ignore": np.nan, "positive": 1.0, "negative": 0.0}[uncertain]
    return np.where(labels == -1, value, labels)


def labelled(
    selection: Selection, findings: FindingSet, uncertain: str, unit: str = "image"
) -> tuple[Selection, Truth]:
    """Read the labels of the findings that have a column, and drop images whose unit has no label.

    The returned selection has notes on findings without a column, uncertain labels and units without labels.

    Parameters
    ----------
    selection
        The rows.
    findings
        The finding set.
    uncertain
        What -1 counts as: ``ignore``, ``positive`` or ``negative``. A unit is -1 only if none of its images
        is 1.
    unit
        ``image``, ``study`` or ``patient``.

    Raises
    ------
    ManifestError
        No column is a finding of the set, a cell is not a label, or no label is left.
    """
    manifest = selection.manifest
    columns = manifest.label_columns(findings)
    if not columns:
        raise ManifestError(
            f"no column is a finding of the finding set {findings.name}",
            where=manifest.origin,
            remedy=f"choose with --findings a set of these columns: {', '.join(manifest.frame.columns)}",
        )
    raw = manifest.labels(findings)[:, [findings.ids.index(name) for name in columns]]
    units = units_of(manifest, unit)
    unit_labels = units.labels(raw)
    settled = settle_uncertain(unit_labels, uncertain)
    has_label = np.asarray(np.isfinite(settled).any(axis=1))
    if not has_label.any():
        raise ManifestError(
            f"every label of split {selection.split} is blank or left out",
            where=manifest.origin,
            remedy="check --uncertain",
        )
    names = tuple(columns)
    notes = [*_absent_note(findings, names), *_uncertain_note(int((unit_labels == -1).sum()), uncertain)]
    if not has_label.all():
        notes.append(f"{units.plural} without labels left out: {int((~has_label).sum())}")
    units, images = units.where(has_label)
    chosen = replace(selection, manifest=manifest.where(images), notes=(*selection.notes, *notes))
    chosen = chosen.after("with a label")
    patients = chosen.manifest.patients()
    by_image = Labelled(names, settle_uncertain(raw[images], uncertain), patients)
    by_unit = Labelled(names, settled[has_label], units.first(patients))
    return chosen, Truth(by_image, units, by_unit)


def _absent_note(findings: FindingSet, known: tuple[str, ...]) -> list[str]:
    absent = [name for name in findings.ids if name not in known]
    return [f"no label column for {', '.join(absent)}"] if absent else []


def _uncertain_note(count: int, uncertain: str) -> list[str]:
    outcome = "left out" if uncertain == "ignore" else f"counted as {uncertain}"
    return [f"uncertain labels (-1) {outcome}: {count}"] if count else []
