"""Show a small picture in a terminal: by its own protocol if it names itself, else as block characters."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from rich.color import Color
from rich.control import Control
from rich.segment import ControlType, Segment
from rich.style import Style

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.console import Console, ConsoleOptions

Protocol = Literal["kitty", "iterm2", "sixel", "blocks"]
_PROGRAMS: Mapping[str, Protocol] = {
    "iTerm.app": "iterm2",
    "WezTerm": "iterm2",
    "ghostty": "kitty",
    "mintty": "sixel",
}
_TERMINALS: Mapping[str, Protocol] = {
    "xterm-kitty": "kitty",
    "xterm-ghostty": "kitty",
    "foot": "sixel",
    "foot-extra": "sixel",
    "mlterm": "sixel",
    "yaft-256color": "sixel",
}
# A usual size of a character, of which pictures get a multiple.
_CELL_WIDTH, _CELL_HEIGHT = 10, 20
_KITTY_CHUNK = 4096
_SIXEL_COLOURS = 64
# Fewer colours than these cannot show a radiograph.
_MANY_COLOURS = ("256", "truecolor")
_TINTED = 24
_SHADES, _ASCII_SHADES = " ░▒▓█", " .:-=+*#%@"


def protocol_of(environment: Mapping[str, str]) -> Protocol:
    """Return how a terminal shows pictures, by what it says of itself in environment variables.

    The terminal is not asked: an answer could fail to come. Within tmux and screen, which do not pass
    pictures on, and in terminals that are not known, these are block characters.
    """
    terminal = environment.get("TERM", "")
    if "TMUX" in environment or "STY" in environment or terminal.startswith(("screen", "tmux")):
        return "blocks"
    if "KITTY_WINDOW_ID" in environment:
        return "kitty"
    if environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    return _PROGRAMS.get(environment.get("TERM_PROGRAM", ""), _TERMINALS.get(terminal, "blocks"))


@dataclass(frozen=True, eq=False)
class Preview:
    """A picture as Rich prints it.

    Parameters
    ----------
    picture
        RGB, of any size.
    columns
        Its width in characters; it is made as high as its proportions ask for.
    protocol
        See `protocol_of`.
    """

    picture: Image
    columns: int
    protocol: Protocol

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment | Control]:
        columns = min(self.columns, options.max_width)
        rows = max(1, round(columns * self.picture.height / self.picture.width / 2))
        if self.protocol == "blocks":
            yield from self._blocks(console, options, columns, rows)
            return
        if self.protocol == "kitty":
            text = _kitty(self._scaled(columns, rows), columns, rows)
        elif self.protocol == "iterm2":
            text = _iterm2(self._scaled(columns, rows), columns)
        else:
            text = _sixel(self._scaled(columns, rows))
        # A control segment is printed as it is, and has no width.
        yield Segment(text, None, [(ControlType.CURSOR_FORWARD, 0)])
        yield Segment.line()

    def _scaled(self, columns: int, rows: int) -> Image:
        return self.picture.resize((columns * _CELL_WIDTH, rows * _CELL_HEIGHT))

    def _blocks(
        self, console: Console, options: ConsoleOptions, columns: int, rows: int
    ) -> Iterator[Segment]:
        if console.no_color or options.ascii_only or console.color_system not in _MANY_COLOURS:
            yield from self._shades(_ASCII_SHADES if options.ascii_only else _SHADES, columns, rows)
            return
        pixels = np.asarray(self.picture.convert("RGB").resize((columns, 2 * rows))).tolist()
        for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
            for above, below in zip(upper, lower, strict=True):
                yield Segment("▀", Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
            yield Segment.line()

    def _shades(self, shades: str, columns: int, rows: int) -> Iterator[Segment]:
        """Draw with characters of different density, in yellow and blue where a map is."""
        small = self.picture.convert("RGB").resize((columns, rows))
        grey, colours = np.asarray(small.convert("L"), np.int64), np.asarray(small, np.int64)
        warmth = colours[..., 0] - colours[..., 2]
        for levels, warm in zip(grey * len(shades) // 256, warmth, strict=True):
            for level, tint in zip(levels.tolist(), warm.tolist(), strict=True):
                colour = "yellow" if tint > _TINTED else "blue" if tint < -_TINTED else None
                yield Segment(shades[level], Style(color=colour))
            yield Segment.line()


def _png(picture: Image) -> str:
    data = io.BytesIO()
    picture.save(data, "PNG", compress_level=1)
    return base64.b64encode(data.getvalue()).decode("ascii")


def _kitty(picture: Image, columns: int, rows: int) -> str:
    """Return the commands of kitty's graphics protocol; q=2 forbids the terminal to answer."""
    data = _png(picture)
    parts = [data[start : start + _KITTY_CHUNK] for start in range(0, len(data), _KITTY_CHUNK)]
    commands = []
    for number, part in enumerate(parts):
        first = f"a=T,f=100,q=2,c={columns},r={rows}," if not number else ""
        commands.append(f"\x1b_G{first}m={int(number < len(parts) - 1)};{part}\x1b\\")
    return "".join(commands)


def _iterm2(picture: Image, columns: int) -> str:
    return f"\x1b]1337;File=inline=1;width={columns};preserveAspectRatio=1:{_png(picture)}\x07"


def _sixel(picture: Image) -> str:
    """Return a picture in DEC's sixels: for each band of six rows and each colour, one line of characters."""
    indexed = picture.convert("RGB").quantize(_SIXEL_COLOURS)
    pixels = np.asarray(indexed)
    palette = np.array(indexed.getpalette(), np.int64).reshape(-1, 3) * 100 // 255
    text = [f'\x1bPq"1;1;{picture.width};{picture.height}']
    text += [f"#{number};2;{r};{g};{b}" for number, (r, g, b) in enumerate(palette.tolist())]
    for top in range(0, len(pixels), 6):
        band = pixels[top : top + 6]
        weights = 1 << np.arange(len(band))[:, None]
        lines = [
            f"#{colour}" + _repeated(((band == colour) * weights).sum(axis=0).tolist())
            for colour in np.unique(band).tolist()
        ]
        text.append("$".join(lines) + "-")
    return "".join(text) + "\x1b\\"


def _repeated(bits: list[int]) -> str:
    """Write six-bit columns as characters, runs of equal ones shortened."""
    text, start = "", 0
    for end in range(1, len(bits) + 1):
        if end == len(bits) or bits[end] != bits[start]:
            character, count = chr(63 + bits[start]), end - start
            text += f"!{count}{character}" if count > 3 else character * count
            start = end
    return text
