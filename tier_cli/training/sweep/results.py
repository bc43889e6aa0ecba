"""Collect the results of a sweep: means over seeds with intervals, and the best setting."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.files.csv_cells import safe_cell
from tier_cli.training.loop.validate import rounded
from tier_cli.training.report.card import VALIDATION
from tier_cli.training.sweep.grid import SEED, Point

Floats = NDArray[np.float64]
POINT = "point.json"
_TAILS = (0.025, 0.975)


@dataclass(frozen=True)
class Cell:
    """One setting over its seeds.

    Parameters
    ----------
    values
        The swept values, without the seed.
    folders
        Folders of the runs that succeeded.
    failed
        Reasons why the other runs failed.
    aucs
        Mean zero-shot AUC of each run, (seeds,).
    replicates
        Mean over the seeds for each resampling of the validation patients, (R,).
    findings
        AUC of each finding, mean over the seeds.
    """

    values: Point
    folders: tuple[Path, ...]
    failed: tuple[str, ...]
    aucs: tuple[float, ...]
    replicates: Floats
    findings: Mapping[str, float]

    @property
    def mean(self) -> float:
        """Mean over the seeds; NaN if a run failed, because the others alone would be a selection."""
        return float(np.mean(self.aucs)) if self.aucs and not self.failed else float("nan")

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval over the patients, for these seeds."""
        return _interval(self.replicates)

    def difference(self, best: Cell) -> tuple[float, float, float]:
        """Return this mean minus the best on the same patients, and the interval of the difference."""
        return (self.mean - best.mean, *_interval(self.replicates - best.replicates))


def _interval(replicates: Floats) -> tuple[float, float]:
    drawn = replicates[np.isfinite(replicates)]
    if not drawn.size:
        return float("nan"), float("nan")
    low, high = np.quantile(drawn, _TAILS)
    return float(low), float(high)


def gather(runs: Sequence[tuple[Point, Path]]) -> list[Cell]:
    """Return the cells of the runs whose folders hold point.json, in the order of the runs."""
    groups: dict[tuple[tuple[str, float], ...], list[Path]] = {}
    for point, folder in runs:
        key = tuple((name, value) for name, value in point.items() if name != SEED)
        groups.setdefault(key, [])
        if (folder / POINT).is_file():
            groups[key].append(folder)
    return [_cell(dict(key), folders) for key, folders in groups.items() if folders]


def _cell(values: Point, folders: Sequence[Path]) -> Cell:
    failed = [json.loads((folder / POINT).read_text("utf-8"))["failed"] for folder in folders]
    good = tuple(folder for folder, reason in zip(folders, failed, strict=True) if reason is None)
    validated = [json.loads((folder / VALIDATION).read_text("utf-8")) for folder in good]
    replicates = np.array([run["replicates_of_mean_auc"] for run in validated], dtype=np.float64)
    names = validated[0]["findings"] if validated else {}
    return Cell(
        values,
        good,
        tuple(reason for reason in failed if reason is not None),
        tuple(run["mean_auc"]["auc"] for run in validated),
        replicates.mean(axis=0) if validated else np.array([]),
        {
            name: float(np.mean([run["findings"][name]["auc"] for run in validated]))
            for name, entry in names.items()
            if entry["auc"] is not None
        },
    )


def best_of(cells: Sequence[Cell]) -> Cell | None:
    """Return the first cell with the highest mean; None if all failed."""
    there = [cell for cell in cells if np.isfinite(cell.mean)]
    return max(there, key=lambda cell: cell.mean) if there else None


def table(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Return one row per setting: plain values, None for a missing number."""
    best = best_of(cells)
    return [_row(cell, best) for cell in cells]


def _row(cell: Cell, best: Cell | None) -> dict[str, Any]:
    good = np.isfinite(cell.mean) and best is not None
    low, high = cell.interval() if good else (float("nan"),) * 2
    difference = cell.difference(best) if good and best is not None else (float("nan"),) * 3
    spread = float(np.std(cell.aucs, ddof=1)) if len(cell.aucs) > 1 else float("nan")
    return {
        **cell.values,
        "runs": len(cell.aucs),
        "failed": len(cell.failed),
        "mean_auc": rounded(cell.mean),
        "low": rounded(low),
        "high": rounded(high),
        "sd_of_seeds": rounded(spread),
        "less_best": rounded(difference[0]),
        "less_best_low": rounded(difference[1]),
        "less_best_high": rounded(difference[2]),
        "best": cell is best,
        **{f"auc:{name}": rounded(value) for name, value in cell.findings.items()},
    }


def write_csv(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Write the table as CSV; a missing number is blank."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(names)
        writer.writerows([_text(row.get(name)) for name in names] for row in rows)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else safe_cell(str(value))
