"""Draw one map of an image small and fast, for runs over many images."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from tier_cli.console import printable
from tier_cli.maps.colours import colours_of
from tier_cli.maps.overlay import overlaid, scaled
from tier_cli.maps.sheet import BACK, FAINT, TEXT, font

if TYPE_CHECKING:
    from tier_cli.maps.explanation import Explanation, TextMap

_LETTERS, _LINE = 11, 14
# A palette makes the file three times smaller and its writing faster.
_COLOURS = 256


def thumbnail(explanation: Explanation, one: TextMap, side: int) -> Image.Image:
    """Draw a map over its image with the finding's name and score, in the colours of the contact sheet.

    Parameters
    ----------
    explanation, one
        The image, and one of its maps.
    side
        The longer side of the picture in pixels.
    """
    colours = colours_of(explanation.scale, one.kind)
    tile = overlaid(scaled(explanation.picture, side, side), explanation.grid, one, colours)
    image = Image.new("RGB", (tile.width, tile.height + 2 * _LINE), BACK)
    image.paste(tile, (0, 0))
    image.paste(_line(printable(one.label), TEXT, tile.width), (0, tile.height))
    image.paste(
        _line(f"research use; full colour {colours.high:+.2f}", FAINT, tile.width), (0, tile.height + _LINE)
    )
    score = f"{one.score.score:+.3f}"
    place = tile.width - font(_LETTERS).getlength(score), tile.height + 1
    ImageDraw.Draw(image).text(place, score, font=font(_LETTERS), fill=TEXT)
    return image.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE)


# The same few words stand below thousands of images.
@lru_cache(maxsize=1024)
def _line(text: str, colour: tuple[int, int, int], width: int) -> Image.Image:
    image = Image.new("RGB", (width, _LINE), BACK)
    ImageDraw.Draw(image).text((0, 1), text, font=font(_LETTERS), fill=colour)
    return image
