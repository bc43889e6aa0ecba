"""An evaluation as one document, one table of rows, and in words: the same numbers everywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tier_cli.errors import UsageError
from tier_cli.evaluation.document import report_document, report_rows
from tier_cli.evaluation.measure import Measured, Resampling
from tier_cli.evaluation.origin import Origin
from tier_cli.evaluation.scores import Unscored
from tier_cli.evaluation.subgroups import Gap, Group
from tier_cli.evaluation.yardsticks import Yardstick, caveat, comparable
from tier_cli.files.atomic import whole_file
from tier_cli.results.output import check_writable

_ENDINGS = (".json", ".csv")


@dataclass(frozen=True)
class SelectedOn:
    """The split that thresholds were chosen on, by which rule, and its images without scores."""

    split: str
    rule: str
    images: int
    unscored: tuple[Unscored, ...] = ()


@dataclass(frozen=True)
class Protocol:
    """What was evaluated and how: all that somebody needs to do it again.

    Parameters
    ----------
    data, dataset, split
        The manifest, its reader, and the split (``all`` = every row).
    images
        Rows evaluated, with or without scores.
    views
        ``frontal`` or ``all``.
    excluded
        Column=value pairs that were dropped.
    uncertain
        What became of labels of -1.
    finding_set
        Its name and hash.
    models
        Name and hashes, one a score set; None for scores from a file.
    scoring
        The checkpoint's own scoring; empty without a model.
    resampling
        How the intervals were made.
    unit
        What is counted: ``image``, ``study`` or ``patient``.
    selected_on
        Where thresholds were chosen, if they were.
    """

    data: str
    dataset: str
    split: str
    images: int
    views: str
    excluded: tuple[str, ...]
    uncertain: str
    finding_set: dict[str, str]
    models: tuple[dict[str, Any] | None, ...]
    scoring: str
    resampling: Resampling
    unit: str = "image"
    selected_on: SelectedOn | None = None


@dataclass(frozen=True)
class Report:
    """All numbers of one evaluation.

    Parameters
    ----------
    protocol
        What was evaluated and how.
    measured
        One a score set.
    differences
        The first score set minus each other one.
    groups
        The same within each group.
    unscored
        Images without scores.
    notes
        What a reader should know.
    gaps
        The differences between groups of a column.
    sections
        The optional parts by name, each as JSON has it.
    origin
        How the run came about.
    """

    protocol: Protocol
    measured: tuple[Measured, ...]
    differences: tuple[Measured, ...]
    groups: tuple[Group, ...]
    unscored: tuple[Unscored, ...]
    notes: tuple[str, ...]
    gaps: tuple[Gap, ...] = ()
    sections: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)

    @property
    def complete(self) -> bool:
        """Whether every image had scores, those that thresholds were chosen on too."""
        selected = self.protocol.selected_on
        return not self.unscored and (selected is None or not selected.unscored)

    @property
    def yardsticks(self) -> tuple[Yardstick, ...]:
        """Published results on the same images and findings, best first."""
        first = self.measured[0]
        if self.unscored or self.protocol.excluded:
            return ()
        protocol = self.protocol
        averaged = [row.finding for row in first.rows if row.both_classes]
        return comparable(protocol.dataset, protocol.split, protocol.unit, protocol.images, averaged)

    @property
    def yardsticks_caveat(self) -> str:
        """What was not compared with them."""
        models = zip(self.measured, self.protocol.models, strict=True)
        return caveat([one.name for one, model in models if model is None])

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON document; what is not a number is null."""
        return report_document(self)

    def to_json(self) -> str:
        """Give the document as text."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """Give one row a finding, score set and group; the macro mean is the row ``macro``."""
        return report_rows(self)


def check_output(path: str) -> None:
    """Refuse a file that cannot be written, before the work.

    Raises
    ------
    UsageError
        An unknown ending, or a place that cannot be written to.
    """
    if Path(path).suffix.lower() not in _ENDINGS:
        raise UsageError(
            f"the format of '{Path(path).name}' cannot be told by its ending",
            where="--output",
            remedy="end it in .json or .csv",
        )
    check_writable(path)


def write_report(report: Report, path: str) -> None:
    """Write .json or .csv, whole or not at all."""
    target = Path(os.path.realpath(path))
    text = report.to_csv() if target.suffix.lower() == ".csv" else report.to_json()
    with whole_file(target) as partial:
        partial.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
