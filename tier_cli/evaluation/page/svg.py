"""Draw figures as inline SVG: text stays text, colours follow the page, and ids are unique."""

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
from tier_cli.evaluation.drawing import COLOURS, SETTINGS

# Placeholders for the page's colours of text and of faint lines.
INK, FAINT = "#010203", "#a1a2a3"
_SETTINGS: Any = {
    **SETTINGS,
    "font.size": 9.0,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}
_DROPPED = (
    r"<metadata>.*?</metadata>",
    r"<defs>\s*<style.*?</style>\s*</defs>",
    r" font-family: [^;\"]*;?",
    r' transform="rotate\(-0 [^)]*\)"',
    r' xmlns(:xlink)?="[^"]*"',
    r' width="[\d.]+pt" height="[\d.]+pt"',
)


def draw_svg(title: str, alt: str, paint: Callable[[Axes], None], size: tuple[float, float]) -> Markup:
    """Draw a figure.

    Parameters
    ----------
    title
        The subject; together with the content it makes the ids unique.
    alt
        Describes the figure for people who cannot see it.
    paint
        Draws on the axes.
    size
        Width and height in inches; the page scales it to the available width.
    """
    text = io.StringIO()
    # A name in a script that matplotlib's font lacks is still shown, with a font of the browser.
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(size)
        axes = figure.add_subplot()
        paint(axes)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return Markup(_inline(text.getvalue(), title, alt))  # noqa: S704 - matplotlib escapes what it writes


def _inline(text: str, title: str, alt: str) -> str:
    """Turn an SVG file into inline SVG: drop what only a file needs, and make ids unique."""
    text = text[text.index("<svg") :]
    for pattern in _DROPPED:
        text = re.sub(pattern, "", text, flags=re.DOTALL)
    used = set(re.findall(r"(?:href=\"|url\()#([\w.-]+)", text))
    prefix = "s" + hashlib.sha256(f"{title}\0{text}".encode("utf-8", "replace")).hexdigest()[:10]
    text = re.sub(r' id="([\w.-]+)"', lambda m: f' id="{prefix}{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r"(?:xlink:)?href=\"#", f'href="#{prefix}', text)
    text = text.replace("url(#", f"url(#{prefix}")
    for number, known in enumerate(COLOURS):
        text = text.replace(known, f"var(--c{number})")
    text = text.replace(INK, "currentColor").replace(FAINT, "var(--faint)")
    text = re.sub(r"\s+", " ", text).replace("> <", "><")
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(printable(alt))}"', 1)
