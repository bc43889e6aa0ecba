"""Draw the figures of a page: curves of a finding, and lists of numbers with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.console import printable
from tier_cli.evaluation.drawing import MARKERS, STYLES, colour
from tier_cli.evaluation.page.curves import Curve, curve, operating_point, reliability, thin
from tier_cli.evaluation.page.parts import Figure
from tier_cli.evaluation.page.svg import FAINT, INK, draw_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tier_cli.evaluation.unit_scores import UnitScores
    from tier_cli.metrics.ranking import Floats

_SQUARE = (3.1, 2.8)
_LONGEST = 22
# Sensitivity and specificity of one radiologist.
ReaderPoint = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A number with its interval, one line of a list.

    Parameters
    ----------
    name
        Text at its left; empty on a further line of the same name.
    value, low, high
        The number and its interval; NaN for none.
    number
        The score set, which decides colour and marker.
    hollow
        Whether to draw it hollow, because it rests on too little data.
    ticks
        Other numbers to mark on the line.
    """

    name: str
    value: float
    low: float
    high: float
    number: int = 0
    hollow: bool = False
    ticks: Sequence[float] = ()


def draw_roc(
    title: str,
    place: int,
    labels: Floats,
    score_sets: Sequence[UnitScores],
    readers: Sequence[ReaderPoint] = (),
) -> Figure | None:
    """Draw ROC curves, operating points and radiologists of one finding; None if there is only one class.

    Parameters
    ----------
    title
        The finding's label.
    place, labels
        Its column in labels (U, F) and scores.
    score_sets
        The scores to draw.
    readers
        One point per radiologist.
    """
    found = _curves(place, labels, score_sets)
    if not found:
        return None

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8)
        for number, one, operating in found:
            kept = thin(len(one.false_positive_rate))
            axes.plot(
                one.false_positive_rate[kept],
                one.recall[kept],
                color=colour(number),
                linestyle=_style(number),
            )
            if operating is not None:
                axes.plot(*operating[:2], _mark(number), color=colour(number), markersize=7)
        for sensitivity, specificity in readers:
            axes.plot(1 - specificity, sensitivity, "x", color=INK, markersize=6)
        _square(axes, "1 - specificity", "sensitivity")

    return Figure(title, draw_svg(f"roc {title}", f"ROC curves of {title}", paint, _SQUARE))


def draw_precision_recall(
    title: str, place: int, labels: Floats, score_sets: Sequence[UnitScores]
) -> Figure | None:
    """Draw precision over recall of one finding, in the steps that average precision sums."""
    found = _curves(place, labels, score_sets)
    if not found:
        return None
    column = labels[:, place]
    share = float((column == 1).sum() / np.isin(column, (0, 1)).sum())

    def paint(axes: Axes) -> None:
        axes.axhline(share, color=FAINT, linewidth=0.8)
        for number, one, operating in found:
            recall, precision = _without_spike(one)
            kept = thin(len(recall))
            axes.step(
                recall[kept],
                precision[kept],
                where="pre",
                color=colour(number),
                linestyle=_style(number),
            )
            if operating is not None:
                axes.plot(operating[1], operating[2], _mark(number), color=colour(number), markersize=7)
        _square(axes, "recall (sensitivity)", "precision (PPV)")

    alt = f"Precision-recall curves of {title}; {share:.1%} are positive"
    return Figure(title, draw_svg(f"pr {title}", alt, paint, _SQUARE))


def draw_reliability(
    title: str, place: int, labels: Floats, score_sets: Sequence[UnitScores]
) -> Figure | None:
    """Draw the observed share over the probability of one finding; None without probabilities."""
    found = [
        (number, reliability(labels[:, place], one.probabilities[:, place]))
        for number, one in enumerate(score_sets)
        if one.probabilities is not None
    ]
    found = [(number, bins) for number, bins in found if bins]
    if not found:
        return None

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8)
        for number, bins in found:
            means, shares = [one.mean for one in bins], [one.share for one in bins]
            axes.vlines(
                means, [one.low for one in bins], [one.high for one in bins], color=colour(number), alpha=0.5
            )
            axes.plot(means, shares, color=colour(number), linestyle=_style(number), marker=_mark(number))
        _square(axes, "mean probability", "share of positives")

    return Figure(title, draw_svg(f"reliability {title}", f"Reliability of {title}", paint, _SQUARE))


def draw_net_benefit(
    title: str, thresholds: Sequence[float], sets: Sequence[Floats], of_all: Floats
) -> Figure:
    """Draw the net benefit of score sets, of acting on all and of acting on none over the threshold.

    Parameters
    ----------
    title
        The finding's label.
    thresholds
        (K,).
    sets, of_all
        (K,) net benefit of each score set, NaN without probabilities, and of acting on all units.
    """

    def paint(axes: Axes) -> None:
        axes.axhline(0, color=FAINT, linewidth=0.8)
        axes.plot(thresholds, of_all, color=FAINT, linewidth=1.0, linestyle="--")
        for number, values in enumerate(sets):
            axes.plot(thresholds, values, color=colour(number), linestyle=_style(number))
        top = max([float(np.nanmax(one)) for one in (*sets, of_all) if np.isfinite(one).any()])
        axes.set(
            xlim=(0, 1), ylim=(-0.4 * top, 1.08 * top), xlabel="threshold probability", ylabel="net benefit"
        )

    return Figure(title, draw_svg(f"decision {title}", f"Decision curves of {title}", paint, _SQUARE))


def shared_range(bounds: Sequence[float]) -> tuple[float, float] | None:
    """Return the limits of an axis that several figures share; None if there is nothing to show."""
    known = [bound for bound in bounds if np.isfinite(bound)]
    if not known:
        return None
    edge = 0.04 * (max(known) - min(known) or 1)
    return min(known) - edge, max(known) + edge


def draw_intervals(
    title: str,
    lines: Sequence[Line],
    axis: str,
    zero: float | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure | None:
    """Draw numbers with their intervals, one per line; None if there are none.

    Parameters
    ----------
    title
        The heading.
    lines
        The numbers.
    axis
        Label of the axis.
    zero
        Where to draw a vertical line.
    limits
        Limits of the axis.
    """
    lines = [one for one in lines if np.isfinite(one.value)]
    if not lines:
        return None

    def paint(axes: Axes) -> None:
        if zero is not None:
            axes.axvline(zero, color=FAINT, linewidth=0.8)
        for height, one in enumerate(lines):
            shade = colour(one.number)
            if np.isfinite(one.low):
                axes.plot([one.low, one.high], [height, height], color=shade, alpha=0.4 if one.hollow else 1)
            face = "none" if one.hollow else shade
            axes.plot(one.value, height, _mark(one.number), color=shade, markerfacecolor=face)
            axes.plot(one.ticks, [height] * len(one.ticks), "|", color=INK, markersize=7)
        axes.set_yticks(range(len(lines)), [_short(one.name) for one in lines])
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(axis)
        axes.set_xlim(limits)

    in_words = "; ".join(f"{printable(one.name)} {_in_words(one)}" for one in lines[:12])
    height = 0.6 + 0.22 * len(lines)
    return Figure(title, draw_svg(f"{axis} {title}", f"{title}, {axis}: {in_words}", paint, (4.0, height)))


def draw_levels(
    title: str,
    names: Sequence[str],
    values: Floats,
    low: Floats,
    high: Floats,
    axis: str,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw numbers (K,) with their band over named levels; the other parameters as in `draw_intervals`."""

    def paint(axes: Axes) -> None:
        places = np.arange(len(names))
        axes.axhline(values[0], color=FAINT, linewidth=0.8)
        axes.fill_between(places, low, high, color=colour(0), alpha=0.25, linewidth=0)
        axes.plot(places, values, color=colour(0), marker="o")
        axes.set_xticks(places, names)
        axes.set_ylabel(axis)
        axes.set_ylim(limits)

    in_words = ", ".join(f"{name} {value:.3f}" for name, value in zip(names, values, strict=True))
    return Figure(title, draw_svg(f"levels {title}", f"{axis} under {title}: {in_words}", paint, (3.1, 2.2)))


def _curves(
    place: int, labels: Floats, score_sets: Sequence[UnitScores]
) -> list[tuple[int, Curve, tuple[float, float, float] | None]]:
    found = []
    for number, one in enumerate(score_sets):
        lines = curve(labels[:, place], one.scores[:, place])
        if lines is not None:
            threshold = np.nan if one.thresholds is None else float(one.thresholds.values[place])
            found.append((number, lines, operating_point(labels[:, place], one.scores[:, place], threshold)))
    return found


def _without_spike(one: Curve) -> tuple[Floats, Floats]:
    """Return recall and precision from the first positive on; before it, precision jumps without meaning."""
    found = one.recall > 0
    first = one.precision[found][:1]
    return np.append(0.0, one.recall[found]), np.append(first, one.precision[found])


def _square(axes: Axes, across: str, up: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=across, ylabel=up, aspect="equal")
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])


def _style(number: int) -> str | tuple[int, tuple[int, ...]]:
    return STYLES[number % len(STYLES)]


def _mark(number: int) -> str:
    return MARKERS[number % len(MARKERS)]


def _short(name: str) -> str:
    name = printable(name)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _in_words(one: Line) -> str:
    return f"{one.value:.3f}" + (f" [{one.low:.3f}, {one.high:.3f}]" if np.isfinite(one.low) else "")
