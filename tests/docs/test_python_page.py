"""The examples of docs/python.md run, one after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text("utf-8")


def test_examples_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.+?)```", PAGE, re.S):
        exec(block, names)  # noqa: S102
    assert names["maps"].values.shape == (1, 7, 7)
    assert "'cardiomegaly'" in capsys.readouterr().out
