"""Define the parts of a page, which hold text and numbers; the template lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

    from tier_cli.evaluation.measure import Metric

# More small figures than this would fill a page that nobody reads.
MAX_FIGURES = 40
DASH = "–"


@dataclass(frozen=True)
class Table:
    """A table of text; the first cell of each row is its heading.

    Parameters
    ----------
    caption
        The title.
    heads
        One heading per column.
    rows
        The cells.
    last
        A row of means at the end; empty for none.
    folded
        Whether it is shown, and printed, only after a click.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    last: Sequence[str] = ()
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """An inline SVG figure with its heading, and lines of text below the heading."""

    title: str
    svg: Markup
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """A picture with text.

    Parameters
    ----------
    source
        Data URI; empty if the image cannot be shown.
    alt
        Describes the picture for people who cannot see it.
    lines
        Text below it.
    """

    source: str
    alt: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Gallery:
    """Pictures under one heading."""

    title: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Part:
    """A part of the page.

    Parameters
    ----------
    title
        The heading.
    text
        Paragraphs.
    legend
        Names of the score sets, in the order of their colours.
    figures, tables, galleries
        Content below the text.
    facts
        Pairs of name and value.
    codes
        Pairs of name and preformatted text.
    """

    title: str
    text: Sequence[str] = ()
    legend: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    galleries: Sequence[Gallery] = ()
    facts: Sequence[tuple[str, str]] = ()
    codes: Sequence[tuple[str, str]] = ()


def cell(metric: Metric, form: str = ".3f") -> str:
    """Format a number with its interval; a dash for NaN."""
    if metric.value != metric.value:
        return DASH
    if metric.low != metric.low:
        return f"{metric.value:{form}}"
    return unbroken(f"{metric.value:{form}} [{metric.low:{form}}, {metric.high:{form}}]")


def unbroken(text: str) -> str:
    """Keep the bounds of an interval on one line with no-break spaces."""
    return text.replace(", ", ",\N{NO-BREAK SPACE}")


def p_value(p: float | None) -> str:
    """Format a p value; empty for none."""
    if p is None or p != p:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"
