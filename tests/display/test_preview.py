"""Small pictures in a terminal: each protocol carries the picture, and one always sees something."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tier_cli.display.preview import Preview, protocol_of

# Left half orange, right half blue.
PICTURE = Image.fromarray(
    np.repeat(np.array([[[250, 130, 0], [60, 150, 250]]], np.uint8).repeat(20, 1), 20, 0)
)


def _printed(protocol: str, **more: object) -> str:
    file = io.StringIO()
    known = {"force_terminal": True, "color_system": "truecolor", "width": 40, "legacy_windows": False}
    console = Console(file=file, **{**known, **more})  # type: ignore[arg-type]
    console.print(Preview(PICTURE, 20, protocol))  # type: ignore[arg-type]
    return file.getvalue()


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "dumb"}, "blocks"),
        ({}, "blocks"),
        # A terminal inside of another one, which would drop or garble the picture.
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, "blocks"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/x"}, "blocks"),  # noqa: S108 - not opened
        ({"TERM_PROGRAM": "iTerm.app", "STY": "1.x"}, "blocks"),
    ],
)
def test_only_terminals_that_say_so_get_pictures(environment: dict[str, str], protocol: str) -> None:
    assert protocol_of(environment) == protocol


def test_kitty_gets_the_picture_in_parts_and_is_not_to_answer() -> None:
    text = _printed("kitty")
    commands = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
    assert re.sub(r"\x1b_G.*\x1b\\", "", text) == "\n"
    assert "q=2" in commands[0][0]
    assert all(len(part) <= 4096 for _, part in commands)
    assert [options.endswith("m=1") for options, _ in commands] == [True] * (len(commands) - 1) + [False]
    shown = Image.open(io.BytesIO(base64.b64decode("".join(part for _, part in commands))))
    assert shown.getpixel((0, 0)) == (250, 130, 0)


def test_iterm2_gets_the_picture() -> None:
    (data,) = re.findall(
        r"\x1b\]1337;File=inline=1;width=20;preserveAspectRatio=1:(.*)\x07\n", _printed("iterm2")
    )
    assert Image.open(io.BytesIO(base64.b64decode(data))).getpixel((199, 0)) == (60, 150, 250)


def test_sixels_decode_to_the_picture() -> None:
    text = _printed("sixel")
    (width, height), body = _sixel_head(text)
    shown = np.zeros((-(-height // 6) * 6, width, 3))
    palette: dict[int, list[float]] = {}
    top = left = 0
    colour = -1
    for command in re.findall(r"#\d+;2;\d+;\d+;\d+|#\d+|!\d+[?-~]|[?-~]|\$|-", body):
        if command[0] == "#" and ";" in command:
            number, _, *rgb = map(int, command[1:].split(";"))
            palette[number] = [value * 2.55 for value in rgb]
        elif command[0] == "#":
            colour = int(command[1:])
        elif command == "$":
            left = 0
        elif command == "-":
            top, left = top + 6, 0
        else:
            count = int(command[1:-1]) if command[0] == "!" else 1
            for bit in range(6):
                if (ord(command[-1]) - 63) >> bit & 1:
                    shown[top + bit, left : left + count] = palette[colour]
            left += count
    wanted = np.asarray(PICTURE.resize((width, height)), float)
    assert np.abs(shown[:height] - wanted).mean() < 3


def _sixel_head(text: str) -> tuple[tuple[int, int], str]:
    found = re.fullmatch(r'\x1bPq"1;1;(\d+);(\d+)(.*)\x1b\\\n', text, re.S)
    assert found is not None
    return (int(found[1]), int(found[2])), found[3]


def test_block_characters_carry_two_pixels_each() -> None:
    lines = _printed("blocks").splitlines()
    assert len(lines) == 5
    assert lines[0].count("▀") == 20
    assert "38;2;250;130;0;48;2;250;130;0" in lines[0]


@pytest.mark.parametrize("colours", [None, "standard"])
def test_terminals_with_few_colours_get_shades(colours: str | None) -> None:
    text = _printed("blocks", color_system=colours)
    assert len(text.splitlines()) == 5
    assert set(re.sub(r"\x1b\[[\d;]*m", "", text)) <= set(" ░▒▓█\n")
    assert ("\x1b[33m" in text, "\x1b[34m" in text) == (colours is not None,) * 2


def test_a_narrow_terminal_gets_a_narrow_picture() -> None:
    assert max(map(len, _printed("blocks", color_system=None, width=8).splitlines())) == 8
