"""`tier train --sweep`: run a grid of settings and show the table of results."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tier_cli.commands.train.command_line import command_line
from tier_cli.console import print_message
from tier_cli.errors import TierError, UsageError

if TYPE_CHECKING:
    from tier_cli.training.settings import Keep, RunOptions, TrainSettings
    from tier_cli.training.sweep.grid import Axis
    from tier_cli.training.sweep.results import Cell
    from tier_cli.training.train_inputs import TrainInputs


def read_axes(texts: Sequence[str]) -> list[Axis]:
    """Read the values of every ``--sweep``.

    Raises
    ------
    UsageError
        A ``--sweep`` cannot be read, or torchrun started several processes.
    """
    if texts and os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError(
            "each run of a sweep uses one process", where="--sweep", remedy="start it without torchrun"
        )
    from tier_cli.training.sweep.grid import parse_axis, points

    axes = [parse_axis(text) for text in texts]
    points(axes)
    return axes


def run_sweep(
    inputs: TrainInputs,
    settings: TrainSettings,
    run_options: RunOptions,
    output: Path,
    axes: Sequence[Axis],
    keep: Keep,
    part_size: int | None,
    context: typer.Context,
) -> None:
    """Run the grid and show the table of results.

    Raises
    ------
    TierError
        Every run diverged, or an error of `Sweep.run`.
    """
    from tier_cli.display.training_progress import display, stopping
    from tier_cli.training.sweep.grid import points
    from tier_cli.training.sweep.results import best_of, table
    from tier_cli.training.sweep.sweep import PICTURE, TABLE, Sweep

    grid = points(axes)
    commands = partial(command_line, context)
    sweep = Sweep(inputs, settings, run_options, grid, output, keep, commands, part_size)
    with stopping(output) as stop:
        cells = sweep.run(display, print_message, stop)
    show_table(table(cells), list(cells[0].values))
    best = best_of(cells)
    if best is None:
        raise TierError(
            f"every run diverged, the first: {cells[0].failed[0]}",
            where=str(output),
            remedy="lower --learning-rate",
        )
    _report_best(best, output, (output / PICTURE).is_file())
    print_message(f"Wrote {output / TABLE}.")


def _report_best(best: Cell, output: Path, picture: bool) -> None:
    from tier_cli.training.sweep.grid import label
    from tier_cli.training.sweep.sweep import PICTURE

    print_message(f"Highest: {label(best.values) or 'the only setting'}, in")
    for folder in best.folders:
        print_message(f"  {folder}")
    if picture:
        print_message(f"Picture: {output / PICTURE}.")


def show_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Show one line per setting: its mean AUC and its difference from the best, with intervals."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title="Mean zero-shot AUC on the validation patients, 95 % intervals over patients",
        title_justify="left",
        box=None,
        # Two swept settings and two numbers with intervals fill 80 columns.
        padding=(0, 1, 0, 0),
    )
    for name in (*names, "seeds", "AUC", "minus best"):
        table.add_column(name, justify="right")
    for row in rows:
        shown = (_interval(row, "mean_auc", ("low", "high")), "best") if row["best"] else None
        less = ("less_best_low", "less_best_high")
        cells = shown or (_interval(row, "mean_auc", ("low", "high")), _interval(row, "less_best", less))
        seeds = f"{row['runs']}" + (f", {row['failed']} failed" if row["failed"] else "")
        style = "bold" if row["best"] else None
        table.add_row(*(f"{row[name]:g}" for name in names), seeds, *cells, style=style)
    Console(stderr=True).print(table)


def _interval(row: Mapping[str, Any], name: str, ends: tuple[str, str]) -> str:
    if row[name] is None:
        return "-"
    if row[ends[0]] is None:
        return f"{row[name]:.3f}"
    return f"{row[name]:.3f} [{row[ends[0]]:.3f}, {row[ends[1]]:.3f}]"
