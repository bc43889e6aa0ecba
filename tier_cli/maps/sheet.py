"""Draw a contact sheet: the picture of an image and one map per finding, with a legend."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tier_cli.console import printable
from tier_cli.maps.colours import STRETCHED, Colours, colours_of, stretched
from tier_cli.maps.overlay import overlaid, scaled
from tier_cli.maps.similarity import SIMILARITIES

if TYPE_CHECKING:
    from tier_cli.maps.explanation import Explanation, TextMap
    from tier_cli.results.record import FindingScore, Reference

BACK, TEXT, FAINT, _WARNING = (16, 18, 20), (235, 235, 235), (160, 165, 170), (255, 190, 90)
_RESEARCH = "Research use. A map shows where the image resembles a text: no diagnosis, no proof of cause."
_HATCHED = "Hatched: the model does not see it."
_OUTLINED = "White line: patches from the map's own threshold on."
_BAR = "Bar: ordinary range (grey), operating point (line) and score (dot)."
_GAP, _MOST_COLUMNS, _MOST_LINES = 16, 4, 4
_PICTURE = "Image"
# More fill more than the lines that are drawn; a word of 100,000 letters would take minutes to measure.
_MOST_LETTERS = 2000
# Heights of letters in pixels.
_SMALLEST, _LARGEST = 11, 18

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Drawn:
    """The maps of one image to draw and their colours.

    Parameters
    ----------
    explanation, maps
        The image, and those of its maps that are drawn.
    stretch
        Whether the maps of this image make full use of the colours, instead of the checkpoint's fixed scale.
    """

    explanation: Explanation
    maps: Sequence[TextMap]
    stretch: bool = False

    @property
    def colours(self) -> Mapping[str, Colours]:
        """The colours of each kind of map that is drawn."""
        kinds = dict.fromkeys(one.kind for one in self.maps)
        if self.stretch:
            return {kind: stretched(self.maps, kind) for kind in kinds}
        return {kind: colours_of(self.explanation.scale, kind) for kind in kinds}

    def tiles(self, width: int, height: int, with_picture: bool = True) -> Iterator[Image.Image]:
        """Yield the picture, and then the maps over it, each fitted into a box."""
        picture, grid = scaled(self.explanation.picture, width, height), self.explanation.grid
        colours = self.colours
        if with_picture:
            yield overlaid(picture, grid, None, Colours.over(0, 1))
        for one in self.maps:
            yield overlaid(picture, grid, one, colours[one.kind])


def sheet(drawn: Drawn, side: int = 360, with_picture: bool = True) -> Image.Image:
    """Draw the picture and the maps in rows, each with its name and score, above a legend.

    Parameters
    ----------
    drawn
        What is drawn.
    side
        Width of each tile, and the most that its picture is high, in pixels.
    with_picture
        Begin with the picture alone.
    """
    tiles = list(drawn.tiles(side, side, with_picture))
    unit = min(max(side // 26, _SMALLEST), _LARGEST)
    texts: list[TextMap | None] = [*([None] if with_picture else []), *drawn.maps]
    names = [_wrapped(_PICTURE if one is None else one.label, unit + 2, side) for one in texts]
    columns = min(_MOST_COLUMNS, len(tiles))
    step = unit + unit // 2
    under = step * (max(map(len, names)) + 3)
    row = max(tile.height for tile in tiles) + under + _GAP
    rows = -(-len(tiles) // columns)
    width = _GAP + columns * (side + _GAP)
    footer = list(_footer(drawn, unit, width - 2 * _GAP))
    legends = [
        (colours, _wrapped(SIMILARITIES[kind].capitalize() + ":", unit, width - 2 * _GAP))
        for kind, colours in drawn.colours.items()
    ]
    top = _GAP + step + _GAP
    height = top + rows * row + sum(len(said) + 3 for _, said in legends) * step + len(footer) * step + _GAP
    image = Image.new("RGB", (width, height), BACK)
    pen = ImageDraw.Draw(image)
    heading = f"{printable(drawn.explanation.title)}   {printable(drawn.explanation.model)}"
    _write(pen, _GAP, _GAP, heading, unit, FAINT)
    for number, (tile, one, name) in enumerate(zip(tiles, texts, names, strict=True)):
        x = _GAP + number % columns * (side + _GAP)
        y = top + number // columns * row
        image.paste(tile, (x + (side - tile.width) // 2, y))
        y += max(tile.height for tile in tiles) + unit // 2
        for line in name:
            _write(pen, x, y, line, unit + 2, TEXT)
            y += step
        if one is not None:
            _score(pen, x, y, side, one.score, unit)
    y = top + rows * row
    for colours, said in legends:
        for line in said:
            _write(pen, _GAP, y, line, unit, FAINT)
            y += step
        _legend(image, pen, y, colours, unit)
        y += 3 * step
    for line, colour in footer:
        _write(pen, _GAP, y, line, unit, colour)
        y += step
    return image


def _score(pen: Any, x: int, y: int, width: int, score: FindingScore, unit: int) -> None:
    """Write a score, and draw it on the scale of its finding, as `tier classify` does."""
    known = score.reference
    call = "" if score.call is None else "   yes" if score.call else "   no"
    if known is None:
        _write(pen, x, y, f"score {score.score:+.3f}", unit, TEXT)
        return
    text = f"score {score.score:+.3f}{call}   ordinary {known.low:+.2f} to {known.high:+.2f}"
    _write(pen, x, y, text, unit, TEXT)
    _scale(pen, x, y + unit + unit // 2, width, score.score, known, unit)


def _scale(pen: Any, x: int, y: int, width: int, score: float, known: Reference, unit: int) -> None:
    """Draw a score on the scale of its finding, see `Reference.place`."""

    def place(value: float) -> float:
        return x + known.place(value) * width

    middle, half = y + unit / 2, unit / 2
    pen.rectangle((x, middle - 1, x + width, middle), fill=(70, 74, 78))
    pen.rectangle(
        (place(known.low), middle - half / 2, place(known.high), middle + half / 2), fill=(95, 100, 105)
    )
    at = place(known.threshold)
    pen.rectangle((at - 1, middle - half, at, middle + half), fill=FAINT)
    at, radius = place(score), half * 0.8
    colour = (255, 160, 60) if score >= known.threshold else TEXT
    pen.ellipse((at - radius, middle - radius, at + radius, middle + radius), fill=colour)


def _legend(image: Image.Image, pen: Any, y: int, colours: Colours, unit: int) -> None:
    """Draw the colours over grey, with their similarities."""
    width, left = 22 * unit, _GAP
    values = np.linspace(colours.low, colours.high, width)[None]
    rgba = colours.rgba(values)
    # Upper half as over dark lung, lower half as over bright bone.
    grey = np.repeat([[40.0], [170.0]], unit // 2, axis=0)[..., None]
    strip = grey * (1 - rgba[..., 3:]) + rgba[..., :3] * rgba[..., 3:]
    image.paste(Image.fromarray(np.rint(strip).astype(np.uint8)), (left, y))
    ticks = [colours.low, *([0.0] if colours.low < 0 < colours.high else []), colours.high]
    for value in ticks:
        at = left + round((value - colours.low) / (colours.high - colours.low) * width)
        text = f"{value:+.2f}" if value else "0"
        size = font(unit).getlength(text)
        _write(pen, int(min(max(at - size / 2, left), left + width - size)), y + unit + 2, text, unit, FAINT)


def _footer(drawn: Drawn, unit: int, width: int) -> Iterator[tuple[str, Colour]]:
    if drawn.stretch:
        yield from ((line, _WARNING) for line in _wrapped(STRETCHED.capitalize() + ".", unit, width))
    else:
        yield from ((line, FAINT) for line in _wrapped(_FIXED, unit, width))
    scale = drawn.explanation.scale.note
    outlined = any(one.threshold is not None for one in drawn.maps)
    barred = any(one.score.reference is not None for one in drawn.maps)
    marks = " ".join((_HATCHED, *([_OUTLINED] if outlined else []), *([_BAR] if barred else [])))
    for text in (marks, *([scale] if scale else []), *drawn.explanation.notes):
        yield from ((line, FAINT) for line in _wrapped(text, unit, width))
    yield from ((line, TEXT) for line in _wrapped(_RESEARCH, unit, width))


_FIXED = "The colours mean the same similarity in every map of this checkpoint."


def _wrapped(text: str, size: int, width: int) -> list[str]:
    """Break a text into lines that fit; the last line of a long text ends with an ellipsis."""
    letters, lines = font(size), [""]
    for word in printable(text[:_MOST_LETTERS]).split():
        longer = f"{lines[-1]} {word}".strip()
        if letters.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    for number, line in enumerate(lines):
        if letters.getlength(line) > width:
            lines[number] = _cut(line, letters, width)
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], lines[_MOST_LINES - 1][:-1] + "…"]
    return lines


def _cut(word: str, letters: Any, width: int) -> str:
    """Return the beginning of a word that fits, and an ellipsis."""

    def length(end: int) -> int:
        return math.ceil(float(letters.getlength(word[:end] + "…")))

    return word[: max(0, bisect(range(len(word)), width, key=length) - 1)] + "…"


def _write(pen: Any, x: float, y: float, text: str, size: int, colour: Colour) -> None:
    pen.text((x, y), text, font=font(size), fill=colour)


@lru_cache(maxsize=8)
def font(size: int) -> Any:
    """Return the font that comes with Pillow, `size` pixels high."""
    return ImageFont.load_default(size)
