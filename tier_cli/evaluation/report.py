"""An evaluation as one document, one table of rows, and in words: the same numbers everywhere."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tier_cli.errors import UsageError
from tier_cli.evaluation.measure import Measured, Metric, Resampling, Row
from tier_cli.evaluation.scores import Unscored
from tier_cli.results.output import check_writable

SCHEMA_VERSION = 2
_DIGITS = 6
_ENDINGS = (".json", ".csv")
_METRICS = ("auc", "auprc")
_COLUMNS = (
    "by", "group", "scores", "finding", "n", "positives",
    *(f"{name}{part}" for name in _METRICS for part in ("", "_low", "_high")),
)  # fmt: skip


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
    model
        Name and hashes; None where there was no model.
    scoring
        The checkpoint's own scoring; empty without a model.
    resampling
        How the intervals were made.
    """

    data: str
    dataset: str
    split: str
    images: int
    views: str
    excluded: tuple[str, ...]
    uncertain: str
    finding_set: dict[str, str]
    model: dict[str, Any] | None
    scoring: str
    resampling: Resampling


@dataclass(frozen=True)
class Group:
    """The images with one value in one column of the manifest."""

    by: str
    value: str
    measured: tuple[Measured, ...]


@dataclass(frozen=True)
class Report:
    """All numbers of one evaluation.

    Parameters
    ----------
    protocol
        What was evaluated and how.
    measured
        One a score set.
    difference
        First minus second score set, where there are two.
    groups
        The same within each group.
    unscored
        Images without scores.
    notes
        What a reader should know.
    sections
        The optional parts by name, each as JSON has it.
    """

    protocol: Protocol
    measured: tuple[Measured, ...]
    difference: Measured | None
    groups: tuple[Group, ...]
    unscored: tuple[Unscored, ...]
    notes: tuple[str, ...]
    sections: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON document; what is not a number is null."""
        protocol = self.protocol
        how = protocol.resampling
        return {
            "schema_version": SCHEMA_VERSION,
            "data": protocol.data,
            "dataset": protocol.dataset,
            "split": protocol.split,
            "images": protocol.images,
            "views": protocol.views,
            "excluded": list(protocol.excluded),
            "uncertain": protocol.uncertain,
            "finding_set": protocol.finding_set,
            "model": protocol.model,
            "scoring": protocol.scoring or None,
            "unit": "image",
            "interval": {
                "level": how.level,
                "method": "percentile bootstrap over patients",
                "replicates": how.replicates,
                "seed": how.seed,
            },
            "scores": [_document(measured) for measured in self.measured],
            "difference": _document(self.difference) if self.difference else None,
            "groups": [
                {"by": g.by, "value": g.value, "scores": [_document(m) for m in g.measured]}
                for g in self.groups
            ],
            "unscored": [vars(image) for image in self.unscored],
            "sections": dict(self.sections),
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Give the document as text."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """Give one row a finding, score set and group; the macro mean is the row ``macro``."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        whole = (*self.measured, self.difference) if self.difference else self.measured
        for measured in whole:
            writer.writerows(_cells("", "", measured))
        for group in self.groups:
            for measured in group.measured:
                writer.writerows(_cells(group.by, group.value, measured))
        return text.getvalue()


def check_output(path: str) -> None:
    """Refuse a file that cannot be written, before the work.

    Raises
    ------
    UsageError
        An unknown ending, or a place that cannot be written to.
    """
    if Path(path).suffix.lower() not in _ENDINGS:
        raise UsageError(
            f"cannot tell the format of '{path}'", where="--output", remedy="end it in .json or .csv"
        )
    check_writable(path)


def write_report(report: Report, path: str) -> None:
    """Write .json or .csv, whole or not at all."""
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    text = report.to_csv() if target.suffix.lower() == ".csv" else report.to_json()
    try:
        partial.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _document(measured: Measured) -> dict[str, Any]:
    return {
        "name": measured.name,
        "n": measured.n,
        "patients": measured.patients,
        "findings": [_finding(row) for row in measured.rows],
        "macro": {"findings": measured.averaged, **_numbers(measured.macro)},
    }


def _finding(row: Row) -> dict[str, Any]:
    counts = {"n": row.n, "positives": row.positives}
    return {"finding": row.finding, **counts, **_numbers(row.metrics)}


def _numbers(metrics: dict[str, Metric]) -> dict[str, Any]:
    return {
        name: {
            "value": _number(metric.value),
            "low": _number(metric.low),
            "high": _number(metric.high),
            "replicates": metric.replicates,
        }
        for name, metric in metrics.items()
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, _DIGITS)


def _cells(by: str, group: str, measured: Measured) -> Iterator[list[Any]]:
    for row in measured.rows:
        yield [by, group, measured.name, row.finding, row.n, row.positives, *_flat(row.metrics)]
    yield [by, group, measured.name, "macro", measured.n, "", *_flat(measured.macro)]


def _flat(metrics: dict[str, Metric]) -> list[float | None]:
    there = [metrics[name] for name in _METRICS]
    return [_number(value) for metric in there for value in (metric.value, metric.low, metric.high)]
