"""Define the table of several models on several data sets, and write it as JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.evaluation.document import INTERVALS, SCHEMA_VERSION, measured_document
from tier_cli.evaluation.origin import Origin
from tier_cli.files.atomic import whole_file
from tier_cli.files.csv_cells import safe_cell

if TYPE_CHECKING:
    from tier_cli.evaluation.measure import Measured, Resampling
    from tier_cli.evaluation.report import Report

METRICS = ("auc", "auprc")
COLUMNS = (
    "dataset", "model", "split", "unit", "n", "patients", "findings",
    *(f"{name}{part}" for name in METRICS for part in ("", "_low", "_high")),
    "unscored", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One model on one data set.

    Parameters
    ----------
    dataset, model
        How the table calls them.
    report
        The evaluation; None if it failed.
    reason
        Why it failed.
    """

    dataset: str
    model: str
    report: Report | None = None
    reason: str = ""

    @property
    def measured(self) -> Measured | None:
        """The numbers; None if the evaluation failed."""
        return None if self.report is None else self.report.measured[0]


@dataclass(frozen=True)
class ModelTable:
    """Several models on several data sets.

    Parameters
    ----------
    datasets, models
        How the table calls them, in their order.
    resampling
        How intervals are made.
    cells
        Those measured so far, by data set and model.
    origin
        Command and versions.
    """

    datasets: tuple[str, ...]
    models: tuple[str, ...]
    resampling: Resampling
    cells: Mapping[tuple[str, str], Cell] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)

    @property
    def pending(self) -> list[tuple[str, str]]:
        """Data set and model of the cells that are not measured yet."""
        pairs = [(dataset, model) for dataset in self.datasets for model in self.models]
        return [pair for pair in pairs if pair not in self.cells]

    @property
    def complete(self) -> bool:
        """Whether every cell was measured and every image had scores."""
        reports = [cell.report for cell in self.cells.values()]
        return not self.pending and all(one is not None and one.complete for one in reports)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document; a missing number is None."""
        how = self.resampling
        return {
            "schema_version": SCHEMA_VERSION,
            "complete": not self.pending,
            "missing": [{"dataset": dataset, "model": model} for dataset, model in self.pending],
            "origin": asdict(self.origin),
            "interval": {
                "level": how.level,
                "method": INTERVALS,
                "replicates": how.replicates,
                "seed": how.seed,
            },
            "datasets": list(self.datasets),
            "models": list(self.models),
            "cells": [_cell(cell) for cell in self._ordered()],
        }

    def to_json(self) -> str:
        """Return the document as text."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """Return CSV with one row per data set and model."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for cell in self._ordered():
            writer.writerow([safe_cell(one) if isinstance(one, str) else one for one in _row(cell)])
        return text.getvalue()

    def _ordered(self) -> Sequence[Cell]:
        pairs = ((dataset, model) for dataset in self.datasets for model in self.models)
        return [self.cells[pair] for pair in pairs if pair in self.cells]


def write_table(table: ModelTable, path: str) -> None:
    """Write the table to a .json or .csv file, whole or not at all."""
    target = Path(os.path.realpath(path))
    text = table.to_csv() if target.suffix.lower() == ".csv" else table.to_json()
    with whole_file(target) as partial:
        partial.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")


def _cell(cell: Cell) -> dict[str, Any]:
    names: dict[str, Any] = {"dataset": cell.dataset, "model": cell.model, "reason": cell.reason or None}
    if cell.report is None or cell.measured is None:
        return names
    protocol = cell.report.protocol
    return {
        **names,
        "split": protocol.split,
        "unit": protocol.unit,
        "finding_set": protocol.finding_set,
        "hashes": (protocol.models[0] or {}).get("hashes"),
        **measured_document(cell.measured),
        "trained_on": [one.to_dict() for one in cell.report.trained_on],
        "unscored": [vars(image) for image in cell.report.unscored],
        "notes": list(cell.report.notes),
    }


def _row(cell: Cell) -> list[Any]:
    document = _cell(cell)
    macro = document.get("macro", {})
    numbers = [macro.get(name, {}).get(part) for name in METRICS for part in ("value", "low", "high")]
    counts = [document.get(name) for name in ("split", "unit", "n", "patients")]
    unscored = len(document["unscored"]) if "unscored" in document else None
    return [cell.dataset, cell.model, *counts, macro.get("findings"), *numbers, unscored, cell.reason]
