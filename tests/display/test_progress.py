"""The progress display shows only meaningful speeds."""

from __future__ import annotations

import io

from rich.console import Console

from tier_cli.display.progress import _SETTLED, progress


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
