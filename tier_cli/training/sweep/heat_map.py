"""Draw the picture of a sweep: a line over one setting, a heat map over two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tier_cli.training.sweep.results import Cell, best_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_sweep(cells: Sequence[Cell], file: Path, synthetic: bool = False) -> bool:
    """Draw the mean AUC over one or two settings; return False for any other number of settings.

    Parameters
    ----------
    cells, file
        The results, and the PNG to write.
    synthetic
        Whether the images are synthetic: then the picture says so.
    """
    names = list(cells[0].values)
    if len(names) not in (1, 2):
        return False
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    if len(names) == 1:
        figure.set_size_inches(7, 4.5)
        _line(axes, cells, names[0])
    else:
        figure.set_size_inches(*_heat(axes, cells, names))
    runs = sorted({len(cell.aucs) + len(cell.failed) for cell in cells})
    seeds = (
        "1 seed" if runs == [1] else f"mean of {'-'.join(map(str, dict.fromkeys((runs[0], runs[-1]))))} seeds"
    )
    kind = "SYNTHETIC images\n" if synthetic else ""
    axes.set_title(
        f"{kind}Mean zero-shot AUC on the validation patients\n{seeds}; 95 % intervals over patients",
        fontsize=10,
    )
    figure.savefig(file, dpi=130, metadata={"Software": None})
    return True


def _line(axes: Axes, cells: Sequence[Cell], name: str) -> None:
    good = sorted((c for c in cells if np.isfinite(c.mean)), key=lambda c: c.values[name])
    places, means = [cell.values[name] for cell in good], [cell.mean for cell in good]
    intervals = np.array([cell.interval() for cell in good])
    errors = np.abs(intervals.T - np.array(means))
    axes.errorbar(places, means, yerr=errors, marker="o", capsize=3, color="#1f4e79")
    for cell in good:
        axes.plot([cell.values[name]] * len(cell.aucs), cell.aucs, ".", color="0.5", ms=4)
    axes.set_xlabel(name)
    axes.set_ylabel("mean AUC")
    axes.grid(alpha=0.3)
    # Values that differ by factors, such as learning rates, get a logarithmic axis.
    if min(places) > 0 and max(places) / min(places) >= 50:
        axes.set_xscale("log")


def _heat(axes: Axes, cells: Sequence[Cell], names: Sequence[str]) -> tuple[float, float]:
    """Draw the cells; return the size in inches that their text needs."""
    rows, columns = (sorted({cell.values[name] for cell in cells}) for name in names)
    values = np.full((len(rows), len(columns)), np.nan)
    best = best_of(cells)
    for cell in cells:
        values[rows.index(cell.values[names[0]]), columns.index(cell.values[names[1]])] = cell.mean
    shown = axes.imshow(values, cmap="viridis", origin="lower", aspect="auto")
    low, high = np.nanmin(values), np.nanmax(values)
    for cell in cells:
        place = columns.index(cell.values[names[1]]), rows.index(cell.values[names[0]])
        dark = np.isfinite(cell.mean) and cell.mean < (low + high) / 2
        axes.text(
            *place, _text(cell), ha="center", va="center", fontsize=7, color="white" if dark else "black"
        )
        if cell is best:
            axes.add_patch(Rectangle((place[0] - 0.5, place[1] - 0.5), 1, 1, fill=False, ec="red", lw=2.5))
    for axis, name, ticks in ((axes.yaxis, names[0], rows), (axes.xaxis, names[1], columns)):
        axis.set_ticks(range(len(ticks)), [f"{tick:g}" for tick in ticks])
        axis.set_label_text(name)
    axes.figure.colorbar(shown, ax=axes, label="mean AUC (red frame: highest)")
    return max(2.4 + 0.95 * len(columns), 6.0), 1.8 + 0.6 * len(rows)


def _text(cell: Cell) -> str:
    if not np.isfinite(cell.mean):
        return "failed"
    low, high = cell.interval()
    return f"{cell.mean:.3f}\n[{low:.3f},\n{high:.3f}]"
