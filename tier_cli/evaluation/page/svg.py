"""Drawings as SVG inside a page: text stays text, colours follow the page, no id is there twice."""

from __future__ import annotations

import hashlib
import html
import io
import re
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tier_cli.console import printable

# Okabe and Ito's colours, which people who do not see red and green alike can tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31")
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Stand-ins for the page's colours of text and of faint lines.
INK, FAINT = "#010203", "#a1a2a3"
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tier",
    "text.parse_math": False,
    "font.size": 8.0,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "figure.constrained_layout.use": True,
}
_DROPPED = (
    r"<metadata>.*?</metadata>",
    r"<defs>\s*<style.*?</style>\s*</defs>",
    r" font-family: [^;\"]*;?",
    r' transform="rotate\(-0 [^)]*\)"',
    r' xmlns(:xlink)?="[^"]*"',
    r' width="[\d.]+pt" height="[\d.]+pt"',
)


def draw(title: str, alt: str, paint: Callable[[Axes], None], size: tuple[float, float]) -> Markup:
    """Draw a figure.

    Parameters
    ----------
    title
        What it is of; with its content it makes ids unlike those of other drawings.
    alt
        What it shows, for people who cannot see it.
    paint
        Draws on the axes.
    size
        Width and height in inches; a page shows it as wide as there is room.
    """
    text = io.StringIO()
    # A name in a script that the measuring font lacks is still shown, by a font of the browser's.
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(size)
        axes = figure.add_subplot()
        paint(axes)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return Markup(_inline(text.getvalue(), title, alt))  # noqa: S704 - matplotlib escapes what it writes


def colour(number: int) -> str:
    """The colour of a score set."""
    return COLOURS[number % len(COLOURS)]


def _inline(text: str, title: str, alt: str) -> str:
    """Make a drawing part of a page: without what only a file needs."""
    text = text[text.index("<svg") :]
    for pattern in _DROPPED:
        text = re.sub(pattern, "", text, flags=re.DOTALL)
    used = set(re.findall(r"(?:href=\"|url\()#([\w.-]+)", text))
    own = "s" + hashlib.sha256(f"{title}\0{text}".encode("utf-8", "replace")).hexdigest()[:10]
    text = re.sub(r' id="([\w.-]+)"', lambda m: f' id="{own}{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r"(?:xlink:)?href=\"#", f'href="#{own}', text)
    text = text.replace("url(#", f"url(#{own}")
    for number, known in enumerate(COLOURS):
        text = text.replace(known, f"var(--c{number})")
    text = text.replace(INK, "currentColor").replace(FAINT, "var(--faint)")
    text = re.sub(r"\s+", " ", text).replace("> <", "><")
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(printable(alt))}"', 1)
