"""Divide images into groups by the values of one manifest column."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import ManifestError
from tier_cli.evaluation.units import MIXED, Units

MOST_GROUPS = 30
UNKNOWN = "unknown"
# Groups that are shown but never compared.
NOT_COMPARED = (UNKNOWN, MIXED)
BLANKS = ("", "nan", "none", UNKNOWN)
_BANDS = ((18, "0-17"), (40, "18-39"), (60, "40-59"), (80, "60-79"), (math.inf, "80+"))
_OLDEST = 120
# Years as a number or as DICOM writes ages: 61, 61.0, 061Y, 018M, 003W, 010D.
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([YMWD]?)", re.IGNORECASE)
_PER_YEAR = {"": 1.0, "Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}

Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Division:
    """The groups of one column.

    Parameters
    ----------
    by
        The column.
    cells
        (N,) the group of each image or unit.
    groups
        All groups, in the order in which they are shown.
    """

    by: str
    cells: Texts
    groups: tuple[str, ...]

    def of_units(self, units: Units) -> Division:
        """Group units instead of images; a unit whose images differ is ``mixed``."""
        cells = units.column(self.cells)
        present = set(cells.tolist())
        groups = (group for group in dict.fromkeys((*self.groups, MIXED)) if group in present)
        return Division(self.by, cells, tuple(groups))

    @property
    def compared(self) -> tuple[str, ...]:
        """The groups that can be compared with each other."""
        return tuple(group for group in self.groups if group not in NOT_COMPARED)


def divide(by: str, cells: Texts) -> Division:
    """Group images by a column: ages in bands, other values as they are, blanks ``unknown``.

    Raises
    ------
    ManifestError
        More than `MOST_GROUPS` groups.
    """
    names = np.char.strip(cells)
    if by.lower() == "age":
        names = _age_bands(names)
    names = np.where(np.isin(np.char.lower(names), BLANKS), UNKNOWN, names)
    found = sorted({str(name) for name in names} - set(NOT_COMPARED), key=_sort_key)
    if len(found) > MOST_GROUPS:
        raise ManifestError(
            f"column {by!r} has {len(found)} different values",
            where="--by",
            remedy=f"choose columns with at most {MOST_GROUPS} groups",
        )
    return Division(by, names, (*found, *(name for name in NOT_COMPARED if (names == name).any())))


def _age_bands(cells: Texts) -> Texts:
    """Replace ages by bands; if no cell is an age (they may be bands already), leave all as they are."""
    bands = {str(cell): _age_band(str(cell)) for cell in np.unique(cells)}
    if not any(bands.values()):
        return cells
    return np.array([bands[str(cell)] or (MIXED if cell == MIXED else "") for cell in cells], dtype=np.str_)


def years(cell: str) -> float | None:
    """Return an age in years; None if the cell is not an age, or one above 120.

    Examples
    --------
    >>> years("018M"), years("61"), years("414")
    (1.5, 61.0, None)
    """
    match = _AGE.fullmatch(cell)
    age = float(match[1]) / _PER_YEAR[match[2].upper()] if match else math.inf
    return age if age <= _OLDEST else None


def _age_band(cell: str) -> str:
    age = years(cell)
    return "" if age is None else next(name for limit, name in _BANDS if age < limit)


def _sort_key(name: str) -> tuple[float, str]:
    number = re.match(r"\d+(\.\d+)?", name)
    return (float(number[0]) if number else math.inf, name)
