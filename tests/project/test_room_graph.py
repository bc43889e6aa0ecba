"""The picture of the packages shows the actual imports."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_picture_is_up_to_date() -> None:
    draw = runpy.run_path(str(DOCS / "make_room_graph.py"))["draw"]
    picture = (DOCS / "images" / "rooms.svg").read_text("utf-8")
    assert picture == draw(), "run: python docs/make_room_graph.py"
