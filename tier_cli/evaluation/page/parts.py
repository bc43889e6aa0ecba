"""What a page is made of: text and numbers only, laid out by the template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

    from tier_cli.evaluation.measure import Metric

# Small multiples of more findings than this would fill a page that nobody reads.
MOST_FIGURES = 40
DASH = "–"


@dataclass(frozen=True)
class Table:
    """Rows of text; the first cell of a row is its heading.

    Parameters
    ----------
    caption
        What it is.
    heads
        One a column.
    rows
        The cells.
    last
        A row of means, or nothing.
    folded
        Shown on a click only, and always in print.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    last: Sequence[str] = ()
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A drawing with its heading."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class Picture:
    """An image as a data URI, blank where it cannot be shown; what it shows in words; lines below it."""

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
        Its heading.
    text
        Paragraphs.
    legend
        Names of score sets, in the order of their colours.
    figures, tables, galleries
        Its content, in this order after the text.
    facts
        Pairs of a name and what it is.
    codes
        Pairs of a name and text that is shown as it is.
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
    """Write a number with its interval, a dash where there is none."""
    if metric.value != metric.value:
        return DASH
    if metric.low != metric.low:
        return f"{metric.value:{form}}"
    return whole(f"{metric.value:{form}} [{metric.low:{form}}, {metric.high:{form}}]")


def whole(text: str) -> str:
    """Keep the bounds of an interval on one line."""
    return text.replace(", ", ",\N{NO-BREAK SPACE}")


def p_value(p: float | None) -> str:
    """Write a p value, blank where there is none."""
    if p is None or p != p:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"
