"""Define a figure: what is drawn as rows of a table, how it is drawn, and the caption."""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tier_cli.evaluation.drawing import MARKERS, SETTINGS, STYLES, colour
from tier_cli.files.csv_cells import safe_cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Row: TypeAlias = Mapping[str, Any]

# Inches: both columns of a paper, or one. Sizes of print.
WIDE, NARROW = 6.9, 3.4
_PAPER: Any = {
    **SETTINGS,
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "legend.fontsize": 7.0,
    "legend.title_fontsize": 7.0,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "lines.markersize": 3.5,
    "axes.linewidth": 0.6,
    "axes.labelpad": 3.0,
}
_DOTS_PER_INCH = 300
# Markers stand on at most about so many points of a line.
_MARKED = 12


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure of a paper.

    Parameters
    ----------
    name
        Name of its files, without suffix.
    title
        Short title.
    caption
        Text below it, which says what is drawn, of how many images and patients, and with which intervals.
    rows
        What is drawn: rows with the same keys, which are the columns of the CSV file.
    paint
        Draws the rows.
    size
        Width and height in inches.
    """

    name: str
    title: str
    caption: str
    rows: Sequence[Row]
    paint: Callable[[Canvas, Sequence[Row]], None]
    size: tuple[float, float]

    def to_csv(self) -> str:
        """Return the rows as CSV; a missing number is blank."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.rows[0])
        writer.writerows([_cell(value) for value in row.values()] for row in self.rows)
        return text.getvalue()

    def write(self, folder: Path) -> tuple[str, ...]:
        """Write NAME.png, NAME.svg and NAME.csv into a folder; return their names."""
        import matplotlib as mpl
        from matplotlib.figure import Figure as Canvas

        files = tuple(f"{self.name}.{suffix}" for suffix in ("png", "svg", "csv"))
        with mpl.rc_context(_PAPER), warnings.catch_warnings():
            # The text is in the SVG file even where matplotlib's font lacks a letter.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            canvas = Canvas(self.size)
            self.paint(canvas, self.rows)
            canvas.savefig(folder / files[0], dpi=_DOTS_PER_INCH, metadata={"Software": None})
            canvas.savefig(folder / files[1], metadata={"Date": None, "Creator": None})
        (folder / files[2]).write_text(self.to_csv(), encoding="utf-8", newline="")
        return files


def _cell(value: object) -> object:
    if isinstance(value, str):
        return safe_cell(value)
    return "" if value is None else value


def by_model(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Group rows by model, in the order of their appearance."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["model"], []).append(row)
    return found


def column(rows: Sequence[Row], name: str) -> list[float]:
    """Return a column of numbers; NaN where there is none."""
    return [math.nan if row[name] is None else row[name] for row in rows]


def draw_line(axes: Axes, rows: Sequence[Row], x: str, number: int, label: str) -> None:
    """Draw a line of one model with its intervals as a band.

    Parameters
    ----------
    axes
        Where to draw.
    rows
        Its points, with the columns `value`, `low` and `high`.
    x
        Column of the horizontal axis.
    number, label
        The model's number, which decides colour, style and marker, and its name in the legend.
    """
    places = column(rows, x)
    axes.fill_between(
        places, column(rows, "low"), column(rows, "high"), color=colour(number), alpha=0.2, linewidth=0
    )
    every = max(1, len(places) // _MARKED)
    axes.plot(
        places,
        column(rows, "value"),
        color=colour(number),
        linestyle=STYLES[number % len(STYLES)],
        marker=MARKERS[number % len(MARKERS)],
        # Models' markers do not hide each other.
        markevery=(number * every // 3 % every if every > 2 else 0, every),
        label=label,
    )


def draw_points(axes: Axes, rows: Sequence[Row], heights: Sequence[float], number: int, label: str) -> None:
    """Draw numbers of one model as points with their intervals, one below the other."""
    values = column(rows, "value")
    below = [value - low for value, low in zip(values, column(rows, "low"), strict=True)]
    above = [high - value for value, high in zip(values, column(rows, "high"), strict=True)]
    axes.errorbar(
        values,
        heights,
        xerr=[below, above],
        color=colour(number),
        fmt=MARKERS[number % len(MARKERS)],
        elinewidth=1.0,
        capsize=2.0,
        label=label,
    )
