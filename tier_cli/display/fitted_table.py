"""Show what `tier calibrate` and `tier adapt` fitted: a table of findings with notes below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tier_cli.fitting.adapted_copy import OPTIMISM_WARNING, adaptation_figures, not_adapted
from tier_cli.fitting.calibrated_copy import (
    PREVALENCE_WARNING,
    calibration_figures,
    no_better_than_prevalence,
    not_calibrated,
)


def show_calibration(content: Mapping[str, Any], notes: Sequence[str], console: Console) -> None:
    """Print the cross-validated figures of a calibration.

    Parameters
    ----------
    content
        The content of calibration.json.
    notes
        Notes on the data, one line each.
    console
        Where to print.
    """
    lines = [
        "cross-validated by patient; baseline: Brier score of always predicting the prevalence",
        "floor: the ECE of calibrated probabilities on as many images",
        *notes,
        *not_calibrated(content),
    ]
    if useless := no_better_than_prevalence(content):
        lines.append(f"no better than the baseline, so the probability says little: {', '.join(useless)}")
    columns = ("positives", "Brier", "baseline", "ECE", "floor", "sens.", "spec.")
    _show(columns, calibration_figures(content), [*lines, PREVALENCE_WARNING], console, 20)


def show_adaptation(facts: Mapping[str, Any], notes: Sequence[str], console: Console) -> None:
    """Print the cross-validated figures of an adaptation.

    Parameters
    ----------
    facts
        Fields of adaptation.json.
    notes
        Notes on the data, one line each.
    console
        Where to print.
    """
    mixture = f"mixed score: {1 - facts['mix']:.1f} own + {facts['mix']:.1f} fitted"
    lines = [mixture, OPTIMISM_WARNING, *notes, *not_adapted(facts)]
    _show(("positives", "own AUC", "mixed AUC", "GDA alone"), adaptation_figures(facts), lines, console, 28)


def _show(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str],
    console: Console,
    name_width: int,
) -> None:
    """Print one row per finding, whose name takes at most `name_width` columns, and the notes."""
    table = Table(box=None, header_style="dim", padding=(0, 1))
    table.add_column("finding", max_width=name_width, overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    for note in notes:
        console.print(Padding(Text(note, style="dim"), (0, 0, 0, 2), expand=False))
