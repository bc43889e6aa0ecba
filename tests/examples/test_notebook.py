"""The example notebook runs from its first cell to its last, and is committed without outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOK = json.loads((EXAMPLES / "notebook.ipynb").read_text("utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_notebook_is_committed_without_outputs() -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in CODE)


def test_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.setenv("TIER_CACHE_DIR", str(tmp_path))
    names: dict[str, Any] = {}
    for cell in CODE:
        exec("".join(cell["source"]), names)  # noqa: S102 - our own notebook
    assert len(names["table"]) == 9
    assert names["figure"].axes
    names["plt"].close("all")
