"""The progress display shows only what is known."""

from __future__ import annotations

import io
import re
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from tier_cli.display.progress import _SETTLED, _Figures, progress, time_left


def test_no_speed_is_shown_before_it_is_meaningful() -> None:
    """The first batch comes at once: nobody reads 50,000 images a second."""
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=True)
    with progress(console, lambda: 100) as tick:
        for _ in range(64):
            tick()
    assert _SETTLED > 0
    assert "64/100" in text.getvalue()
    assert "files/s" not in text.getvalue()


def test_first_frames_have_no_empty_places() -> None:
    """Nobody has counted the files yet: neither "0/?" nor "left" says anything."""
    text, counted = io.StringIO(), threading.Event()
    console = Console(file=text, width=80, force_terminal=True)
    with progress(console, lambda: 100 if counted.wait(10) else 0) as tick:
        tick()
        counted.set()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue())
    assert "Scoring" in shown
    assert "?" not in shown
    assert not re.search(r"(?<!\d) left", shown)


@pytest.mark.parametrize(("seconds", "said"), [(None, ""), (5, "0:05 left"), (3 * 3600 + 65, "3:01:05 left")])
def test_time_is_said_once_it_is_known(seconds: float | None, said: str) -> None:
    assert time_left(seconds) == said


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "said"),
    [
        (0, None, 0.1, ""),
        (0, 100, 0.1, "0/100"),
        (8, None, 1.0, "8"),
        # The first batch came at once: the mean speed is what says how long the rest takes.
        (8, 40, 4.0, "8/40  2.0 files/s  0:16 left"),
        (8, None, 4.0, "8  2.0 files/s"),
    ],
)
def test_figures_agree_with_each_other(done: int, total: int | None, elapsed: float, said: str) -> None:
    task: Any = SimpleNamespace(completed=done, total=total, elapsed=elapsed)
    assert _Figures().render(task).plain == said
