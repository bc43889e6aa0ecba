"""The statements of docs/results.md are correct."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tier_cli.decoding.prefetch import INLINE_FILES
from tier_cli.results.output import ENDINGS
from tier_cli.results.privacy import Hasher
from tier_cli.results.record import Result
from tier_cli.results.rows import Layout

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text("utf-8")


def test_hashes_can_be_recomputed(scored: Result) -> None:
    example = re.search(r"```python\n(.+?)```", PAGE, re.S)
    assert example is not None
    names: dict[str, Any] = {}
    exec(example.group(1), names)  # noqa: S102 - our own page
    hashed = Hasher.from_environment({"TIER_HASH_KEY": "kéy"}).apply(scored)
    assert hashed.study == names["hashed"](scored.study, "kéy")
    assert hashed.paths[0] == names["hashed"](scored.paths[0], "kéy")


def test_extensions_and_columns() -> None:
    assert set(re.findall(r"^\| `(\.\w+)` \|", PAGE, re.M)) == set(ENDINGS)
    own = [name for name in Layout(("x",)).columns if name.startswith(("model", "error"))]
    assert all(f"`{name}`" in PAGE for name in own)


def test_number_of_files_read_without_processes() -> None:
    assert INLINE_FILES == 4
    assert "Four files or fewer" in " ".join(PAGE.split())
