"""Performance within groups of a column, and the gaps between them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import ManifestError
from tier_cli.evaluation.calls import FEW
from tier_cli.evaluation.measure import Measured, Metric, Row, as_metrics
from tier_cli.evaluation.units import MIXED, Units
from tier_cli.metrics.bootstrap import Estimate

MOST_GROUPS = 30
UNKNOWN = "unknown"
# Groups that are shown, but are no side of a gap.
APART = (UNKNOWN, MIXED)
WIDE = 0.2
RULE = f"fewer than {FEW} positives or negatives, or an AUC interval wider than {WIDE}"
_BLANKS = ("", "nan", "none", UNKNOWN)
_BANDS = ((18, "0-17"), (40, "18-39"), (60, "40-59"), (80, "60-79"), (math.inf, "80+"))
_OLDEST = 120
# Years as a number or as DICOM writes ages: 61, 61.0, 061Y, 018M, 003W, 010D.
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([YMWD]?)", re.IGNORECASE)
_PER_YEAR = {"": 1.0, "Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}

Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Division:
    """Units by the value of one column: (U,) the name of each one's group, and the groups in order."""

    by: str
    cells: Texts
    groups: tuple[str, ...]

    def of_units(self, units: Units) -> Division:
        """From images to units; one whose images lie in several groups is ``mixed``."""
        cells = units.column(self.cells)
        there = set(cells.tolist())
        return Division(self.by, cells, tuple(g for g in dict.fromkeys((*self.groups, MIXED)) if g in there))

    @property
    def sides(self) -> tuple[str, ...]:
        """The groups that can be compared."""
        return tuple(group for group in self.groups if group not in APART)


@dataclass(frozen=True)
class Group:
    """The units with one value in one column.

    Parameters
    ----------
    by, value
        The column and the group.
    measured
        One a score set.
    against_rest
        A score set's AUC here minus that in all other known groups together, by finding.
    too_small
        Why a score set's AUC says too little here, by finding; blank where it says enough.
    """

    by: str
    value: str
    measured: tuple[Measured, ...]
    against_rest: tuple[Mapping[str, Metric], ...] = ()
    too_small: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class Gap:
    """The highest AUC of a column's groups minus the lowest, among groups that are not too small.

    `finding` is ``macro`` for the mean over `averaged` findings, those with at least `FEW` positives and
    negatives in each group that has such findings at all.
    """

    by: str
    scores: str
    finding: str
    highest: str
    lowest: str
    metric: Metric
    averaged: int = 1


def divide(by: str, cells: Texts) -> Division:
    """Name each unit's group: ages in bands, other values as they are, blanks ``unknown``.

    Raises
    ------
    ManifestError
        More than `MOST_GROUPS` groups.
    """
    names = np.char.strip(cells)
    if by.lower() == "age":
        names = _banded(names)
    names = np.where(np.isin(np.char.lower(names), _BLANKS), UNKNOWN, names)
    found = sorted({str(name) for name in names} - set(APART), key=_order)
    if len(found) > MOST_GROUPS:
        raise ManifestError(
            f"column {by!r} has {len(found)} different values",
            where="--by",
            remedy=f"choose columns of at most {MOST_GROUPS} groups",
        )
    return Division(by, names, (*found, *(name for name in APART if (names == name).any())))


def _banded(cells: Texts) -> Texts:
    """Ages in bands; cells that are no ages, such as bands already, stay where no cell is one."""
    bands = {str(cell): _band(str(cell)) for cell in np.unique(cells)}
    if not any(bands.values()):
        return cells
    return np.array([bands[str(cell)] or (MIXED if cell == MIXED else "") for cell in cells], dtype=np.str_)


def _band(cell: str) -> str:
    match = _AGE.fullmatch(cell)
    years = float(match[1]) / _PER_YEAR[match[2].upper()] if match else math.inf
    return next(name for limit, name in _BANDS if years < limit) if years <= _OLDEST else ""


def _order(name: str) -> tuple[float, str]:
    number = re.match(r"\d+(\.\d+)?", name)
    return (float(number[0]) if number else math.inf, name)


def too_small(row: Row) -> str:
    """Say why an AUC says too little, or nothing."""
    negatives = row.n - row.positives
    if row.positives < FEW:
        return f"{row.positives} positives"
    if negatives < FEW:
        return f"{negatives} negatives"
    metric = row.metrics["auc"]
    return f"interval of {metric.high - metric.low:.2f}" if metric.high - metric.low > WIDE else ""


def against(group: Estimate, rest: Estimate, findings: Sequence[str], level: float) -> dict[str, Metric]:
    """Give a group's AUC minus the rest's, by finding."""
    return dict(zip(findings, as_metrics(group - rest, level), strict=True))


def gaps(
    groups: Sequence[Group],
    estimates: Mapping[str, Estimate],
    number: int,
    findings: Sequence[str],
    level: float,
) -> list[Gap]:
    """Give the gaps of one score set over the groups of one column.

    Which groups are highest and lowest is read off all rows, and stays so in each resampling.

    Parameters
    ----------
    groups
        Those of one column that can be compared.
    estimates
        Their AUC, by group.
    number
        Which score set.
    findings
        F ids.
    level
        Of the intervals.
    """
    sides = [group for group in groups if group.value not in APART]
    found = []
    for place, finding in enumerate(findings):
        usable = [group.value for group in sides if not group.too_small[number][finding]]
        if len(usable) > 1:
            found.append(
                _gap(groups[0], number, finding, {v: estimates[v].only([place]) for v in usable}, level)
            )
    counted = {group.value: _counted(group.measured[number]) for group in sides}
    counted = {value: places for value, places in counted.items() if places}
    common = sorted(set.intersection(*counted.values())) if len(counted) > 1 else []
    if common:
        means = {value: estimates[value].only(common).macro for value in counted}
        found.append(_gap(groups[0], number, "macro", means, level, len(common)))
    return found


def _counted(measured: Measured) -> set[int]:
    """The findings with enough of each class."""
    return {
        place for place, row in enumerate(measured.rows) if min(row.positives, row.n - row.positives) >= FEW
    }


def _gap(
    first: Group, number: int, finding: str, sides: Mapping[str, Estimate], level: float, averaged: int = 1
) -> Gap:
    points = {value: float(estimate.point[0]) for value, estimate in sides.items()}
    highest, lowest = max(points, key=lambda v: points[v]), min(points, key=lambda v: points[v])
    difference = sides[highest] - sides[lowest]
    name = first.measured[number].name
    return Gap(first.by, name, finding, highest, lowest, as_metrics(difference, level)[0], averaged)
