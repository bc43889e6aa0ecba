"""Describe the evaluated patients and images, and how they were selected."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.evaluation.divisions import BLANKS, MOST_GROUPS, UNKNOWN, years

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.selection import Selection

WITH_SCORES = "with a score"


@dataclass(frozen=True)
class Ages:
    """The ages of the patients whose age is known, in years; of each patient, the youngest.

    Parameters
    ----------
    known
        Number of these patients.
    median, low_quartile, high_quartile, youngest, oldest
        Their ages.
    """

    known: int
    median: float
    low_quartile: float
    high_quartile: float
    youngest: float
    oldest: float


@dataclass(frozen=True)
class Cohort:
    """The evaluated patients and images, including images without scores.

    Parameters
    ----------
    images, patients
        Their numbers.
    sexes
        Patients by sex, as in the manifest; blanks are ``unknown``, and a patient with two is ``mixed``.
    views
        Images by view.
    ages
        None if no age is known.
    flow
        How many images and patients each step of the selection left.
    """

    images: int
    patients: int
    sexes: Mapping[str, int]
    views: Mapping[str, int]
    ages: Ages | None
    flow: tuple[Mapping[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the value of ``cohort`` in the JSON document."""
        ages = None if self.ages is None else {k: round(v, 2) for k, v in vars(self.ages).items()}
        return {
            "images": self.images,
            "patients": self.patients,
            "sex": dict(self.sexes),
            "view": dict(self.views),
            "age": ages,
            "flow": [dict(step) for step in self.flow],
        }


def describe_cohort(selection: Selection, unscored: int, scored_patients: int) -> Cohort:
    """Describe the selected rows.

    Parameters
    ----------
    selection
        The rows.
    unscored, scored_patients
        The images that some score set has no score for, and the patients with an image that all have.
    """
    manifest = selection.manifest
    last = {
        "step": WITH_SCORES,
        "images": len(manifest) - unscored,
        "patients": scored_patients,
        "left_out": unscored,
    }
    flow = [vars(step) for step in selection.flow]
    return Cohort(
        len(manifest),
        len(np.unique(manifest.patients())),
        _sexes(manifest),
        dict(sorted(Counter(_cells(manifest, "view")).items())),
        _ages(manifest),
        (*flow, last),
    )


def _cells(manifest: Manifest, column: str) -> list[str]:
    """Return the cells of a column; blanks and what is not known are ``unknown``, rare values ``other``."""
    cells = [str(cell).strip() or UNKNOWN for cell in manifest.column(column)]
    cells = [UNKNOWN if cell.lower() in BLANKS else cell for cell in cells]
    kept = {value for value, _ in Counter(cells).most_common(MOST_GROUPS)}
    return [cell if cell in kept else "other" for cell in cells]


def _sexes(manifest: Manifest) -> dict[str, int]:
    found: dict[str, set[str]] = {}
    for patient, sex in zip(manifest.patients().tolist(), _cells(manifest, "sex"), strict=True):
        found.setdefault(patient, set()).add(sex)
    known = ({sex for sex in one if sex != UNKNOWN} or {UNKNOWN} for one in found.values())
    counts = Counter(next(iter(one)) if len(one) == 1 else "mixed" for one in known)
    return dict(sorted(counts.items()))


def _ages(manifest: Manifest) -> Ages | None:
    youngest: dict[str, float] = {}
    for patient, cell in zip(manifest.patients().tolist(), manifest.column("age").tolist(), strict=True):
        age = years(cell.strip())
        if age is not None:
            youngest[patient] = min(age, youngest.get(patient, age))
    if not youngest:
        return None
    ages = list(youngest.values())
    low, median, high = np.quantile(ages, [0.25, 0.5, 0.75])
    return Ages(len(ages), float(median), float(low), float(high), min(ages), max(ages))
