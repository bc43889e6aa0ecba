"""Define the report of an evaluation, and write it as a JSON document or a CSV table."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.errors import UsageError
from tier_cli.evaluation.document import (
    SCHEMA_VERSION,
    csv_text,
    gap_document,
    group_document,
    measured_document,
    protocol_document,
    yardstick_document,
)
from tier_cli.evaluation.origin import Origin
from tier_cli.evaluation.yardsticks import Yardstick, caveat, comparable
from tier_cli.files.atomic import whole_file
from tier_cli.results.output import check_writable

if TYPE_CHECKING:
    from tier_cli.evaluation.cohort import Cohort
    from tier_cli.evaluation.measure import Measured
    from tier_cli.evaluation.protocol import Protocol
    from tier_cli.evaluation.scores import Unscored
    from tier_cli.evaluation.subgroups import Gap, Group
    from tier_cli.evaluation.trained_on import Seen

_SUFFIXES = (".json", ".csv")


@dataclass(frozen=True)
class Report:
    """All numbers of one evaluation.

    Parameters
    ----------
    protocol
        What was evaluated and how.
    measured
        One per score set.
    differences
        The first score set minus each other one.
    groups
        The numbers within each group.
    unscored
        Images without scores.
    notes
        Remarks for the reader.
    gaps
        The differences between the groups of a column.
    sections
        The optional sections by name, each as in JSON.
    origin
        Command, versions and hashes.
    cohort
        The evaluated patients and images, and how they were selected.
    trained_on
        What the models were trained on of the evaluated rows.
    pending
        Names of the sections that were asked for and are not measured yet.
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
    cohort: Cohort | None = None
    trained_on: tuple[Seen, ...] = ()
    pending: tuple[str, ...] = ()

    def __repr__(self) -> str:
        protocol = self.protocol
        means = [
            f"{one.name}: mean AUC {one.macro['auc'].value:.3f} over {one.averaged} findings"
            for one in self.measured
            if "auc" in one.macro
        ]
        images = f"{protocol.images} images of {protocol.data}, split {protocol.split}"
        return f"<Report on {'; '.join([images, *means])}>"

    @property
    def complete(self) -> bool:
        """Whether every image had scores, including those on which thresholds were chosen."""
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
        """What may differ from the published results."""
        models = zip(self.measured, self.protocol.models, strict=True)
        return caveat([one.name for one, model in models if model is None])

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document; a missing number is None."""
        return {
            "schema_version": SCHEMA_VERSION,
            "complete": not self.pending,
            "missing": list(self.pending),
            "origin": asdict(self.origin),
            **protocol_document(self.protocol),
            "cohort": None if self.cohort is None else self.cohort.to_dict(),
            "scores": [
                {**measured_document(measured), "model": model}
                for measured, model in zip(self.measured, self.protocol.models, strict=True)
            ],
            "differences": [measured_document(difference) for difference in self.differences],
            "groups": [group_document(group) for group in self.groups],
            "gaps": [gap_document(gap) for gap in self.gaps],
            "yardsticks": [yardstick_document(one) for one in self.yardsticks],
            "sections": dict(self.sections),
            "trained_on": [one.to_dict() for one in self.trained_on],
            "unscored": [vars(image) for image in self.unscored],
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return the document as text."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """Return CSV with one row per finding, score set and group; the mean is the row ``macro``."""
        return csv_text((*self.measured, *self.differences), self.groups)


def check_output(path: str) -> None:
    """Refuse an output file that cannot be written, before the work starts.

    Raises
    ------
    UsageError
        An unknown suffix, or a place that cannot be written to.
    """
    if Path(path).suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"'{Path(path).name}' has no known format",
            where="--output",
            remedy="use the suffix .json or .csv",
        )
    check_writable(path)


def write_report(report: Report, path: str) -> None:
    """Write the report to a .json or .csv file, whole or not at all."""
    target = Path(os.path.realpath(path))
    text = report.to_csv() if target.suffix.lower() == ".csv" else report.to_json()
    with whole_file(target) as partial:
        partial.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
