"""Hold what a survey of a manifest found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tier_cli.datasets.survey.files import FileCheck


@dataclass(frozen=True)
class Problem:
    """Something wrong with the data.

    Parameters
    ----------
    kind
        A stable word for programs.
    what
        A sentence for people.
    examples
        Some of the files concerned.
    """

    kind: str
    what: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelCount:
    """How often each label occurs in a finding's column; `one_class` are the splits without both 1 and 0."""

    finding: str
    column: str
    positive: int
    negative: int
    uncertain: int
    blank: int
    one_class: tuple[str, ...]


@dataclass(frozen=True)
class SplitCount:
    """Images, patients and positives of a split; the name is ``""`` for rows that are in no split."""

    name: str
    images: int
    patients: int
    positive: Mapping[str, int]


@dataclass(frozen=True)
class TextCount:
    """Number of texts, their length in words (shortest, median, longest), and the most repeated ones.

    Only texts that several patients share are listed as repeated.
    """

    filled: int
    empty: int
    words: tuple[int, int, int] | None
    repeated: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Survey:
    """All that a survey found; `problems` are errors in the data, `remarks` are worth knowing."""

    origin: str
    finding_set: str
    images: int
    patients: int
    studies: int
    without_patient: int
    views: Mapping[str, int]
    splits: tuple[SplitCount, ...]
    labels: tuple[LabelCount, ...]
    texts: TextCount
    boxes: int
    masks: int
    images_with_regions: int
    ignored_columns: tuple[str, ...]
    files: FileCheck
    problems: tuple[Problem, ...]
    remarks: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return asdict(self)
