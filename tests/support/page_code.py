"""Run the code that the pages of docs/contributing/ print."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

_PAGES = Path(__file__).parents[2] / "docs" / "contributing"


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a page in one language, in order."""
    text = (_PAGES / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.+?)^```", text, re.S | re.M)


def load(path: Path, name: str, source: str) -> ModuleType:
    """Write a module to a file and import it under a name."""
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
