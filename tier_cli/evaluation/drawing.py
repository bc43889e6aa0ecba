"""Define how figures look: colours, line styles, markers and settings of matplotlib."""

from __future__ import annotations

from typing import Any

# Okabe and Ito's colours, which people with colour vision deficiency can tell apart. Line styles and markers
# tell score sets and models apart without colour.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31")
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Settings of matplotlib. The same content always gives the same SVG file.
SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tier",
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "figure.constrained_layout.use": True,
}


def colour(number: int) -> str:
    """Return the colour of a score set or model."""
    return COLOURS[number % len(COLOURS)]
