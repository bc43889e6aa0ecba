"""The worked example of docs/contributing/add-a-finding-set.md passes the tests of every built-in set."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_code import blocks, load

from tier_cli.findings import load as loading

ROOT = Path(__file__).parents[2]
NAME = "devices4"


@pytest.fixture
def with_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the page's file beside the built-in ones and its name into the list."""
    shutil.copytree(ROOT / "tier_cli" / "findings" / "sets", tmp_path / "sets")
    (text,) = blocks("add-a-finding-set.md", "toml")
    (tmp_path / "sets" / f"{NAME}.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(loading, "files", lambda package: tmp_path)
    monkeypatch.setattr(loading, "_BUILTIN", (*loading._BUILTIN, NAME))
    yield
    # No later test of this process may see it.
    loading.builtin.cache_clear()


@pytest.mark.usefixtures("with_the_set")
def test_the_worked_example_passes_the_tests_of_every_set(tmp_path: Path) -> None:
    (example,) = blocks("add-a-finding-set.md", "python")
    source = (Path(__file__).parent / "test_findings_sets.py").read_text("utf-8")
    tests = load(tmp_path / "tests.py", "tests_with_example", f"{source}\n\n{example}")
    assert len(loading.builtin(NAME).ids) == 4
    tests.test_sets_are_sound_and_have_several_phrasings(NAME)
    for default in (None, *loading.builtin_names()):
        tests.test_any_findings_of_the_sets_go_together(default)
    tests.test_devices4_matches_the_columns_of_its_data_set()
