"""Print explanations on a terminal: a small picture, and one row per finding or text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tier_cli.console import printable
from tier_cli.display.preview import Preview, protocol_of
from tier_cli.maps.colours import STRETCHED
from tier_cli.maps.regions import peak_of, regions, stored
from tier_cli.maps.sheet import Drawn

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.maps.explanation import Explanation, TextMap
    from tier_cli.results.record import Result

# The picture and two maps beside each other, in characters and in pixels.
_TILES, _COLUMNS, _GAP, _SIDE = 3, 25, 2, 250


class ExplanationTable:
    """Print what was found in one image after the other.

    Parameters
    ----------
    console
        Where to print.
    preview
        Show a small picture with the first maps.
    environment
        Where the terminal says what it can show.
    """

    def __init__(self, console: Console, preview: bool, environment: Mapping[str, str] | None = None):
        self._console, self._preview = console, preview
        self._environment = os.environ if environment is None else environment
        self._notes: set[str] = set()

    def show(self, result: Result, drawn: Drawn | None, files: list[str]) -> None:
        """Print one image, or the reason why it has no maps."""
        path = Text(printable(result.paths[0]), style="bold", overflow="fold")
        if drawn is None:
            message = result.error.message if result.error else ""
            self._console.print(path, _indented(message, "red"), Text(), sep="\n")
            return
        self._console.print(path.append(f"  {printable(result.view)}", "not bold dim"))
        if self._preview:
            self._show_picture(drawn)
        self._console.print(_table(drawn.explanation))
        for note in (drawn.explanation.scale.note, *drawn.explanation.notes):
            if note and note not in self._notes:
                self._notes.add(note)
                self._console.print(_indented(note, "dim"))
        for file in files:
            self._console.print(_indented(file, "cyan"))
        self._console.print()

    def _show_picture(self, drawn: Drawn) -> None:
        from PIL import Image

        tiles = list(Drawn(drawn.explanation, drawn.maps[: _TILES - 1], drawn.stretch).tiles(_SIDE, _SIDE))
        step = _SIDE + _GAP * _SIDE // _COLUMNS
        joined = Image.new("RGB", (len(tiles) * step, max(tile.height for tile in tiles)))
        for number, tile in enumerate(tiles):
            joined.paste(tile, (number * step, 0))
        width = len(tiles) * (_COLUMNS + _GAP)
        self._console.print(Preview(joined, width, protocol_of(self._environment)))
        names = ["", *(printable(one.label) for one in drawn.maps[: _TILES - 1])]
        cells = (_cut(name, _COLUMNS).ljust(_COLUMNS + _GAP) for name in names)
        self._console.print(Text("".join(cells).rstrip(), style="dim", no_wrap=True))
        self._console.print(Text(_colours(drawn), style="dim", overflow="fold"))


def _colours(drawn: Drawn) -> str:
    if drawn.stretch:
        return STRETCHED
    ranges = dict.fromkeys((colours.low, colours.high) for colours in drawn.colours.values())
    ends = ", ".join(f"{low:+.2f} (blue) to {high:+.2f} (orange)" for low, high in ranges)
    return f"similarity from {ends}; the same colours for every image"


def _table(explanation: Explanation) -> Table:
    called = any(one.score.call is not None for one in explanation.maps)
    outlined = any(one.threshold is not None for one in explanation.maps)
    table = Table(box=None, header_style="dim", padding=(0, 1))
    texts = all(one.kind == "phrase" for one in explanation.maps)
    table.add_column("text" if texts else "finding", max_width=34, overflow="fold")
    for name in (
        "score",
        *(["call"] if called else []),
        "highest",
        "at x, y",
        *(["regions"] if outlined else []),
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for one in explanation.maps:
        table.add_row(*_row(one, explanation, called, outlined))
    return table


def _row(one: TextMap, explanation: Explanation, called: bool, outlined: bool) -> list[Text | str]:
    peak = peak_of(one.values, explanation.grid)
    place = ("", "")
    if peak is not None:
        x, y = stored(explanation.grid, *peak[:2])
        place = f"{peak[2]:+.3f}", f"{x:.0f}, {y:.0f}"
    cells: list[Text | str] = [Text(printable(one.label)), f"{one.score.score:+.3f}"]
    if called:
        yes = one.score.call is True
        cells.append(Text("yes", style="bold") if yes else Text("no", style="dim"))
    cells += place
    if outlined:
        found = [] if one.threshold is None else regions(one.values, one.threshold, explanation.grid)
        cells.append(str(len(found)) if one.threshold is not None else "")
    return cells


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _indented(text: str, style: str) -> Padding:
    return Padding(Text(printable(text), style=style, overflow="fold"), (0, 0, 0, 2), expand=False)
