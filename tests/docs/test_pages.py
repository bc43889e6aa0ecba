"""The commands, options, files and links that the pages name exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tier_cli.app import app

ROOT = Path(__file__).parents[2]
DOCS = (page for page in (ROOT / "docs").rglob("*.md") if "_generated" not in page.parts)
PAGES = sorted([*ROOT.glob("*.md"), *DOCS])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
pages = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def commands_of(text: str) -> list[list[str]]:
    """Return the words after `tier` of every command line shown, up to a pipe or the like."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    shown = [found.group(1) for line in lines if (found := re.match(r"\$? ?tier ([a-z].*)", line))]
    return [shlex.split(re.split(r" (?:\||&|>|\$\(|#|\.\.\.)", command)[0]) for command in shown]


@pages
def test_commands_and_options_exist(page: Path) -> None:
    for words in commands_of(page.read_text("utf-8")):
        command: Any = get_command(app)
        rest = list(words)
        while rest and hasattr(command, "commands") and rest[0] in command.commands:
            command = command.commands[rest.pop(0)]
        assert not hasattr(command, "commands"), words
        options = {name for parameter in command.params for name in parameter.opts}
        given = {word.split("=")[0] for word in rest if word.startswith("--")}
        assert given <= options | {"--help"}, words


@pages
def test_files_named_exist(page: Path) -> None:
    if page.name.startswith("add-"):
        pytest.skip("names files that its reader will write")
    named = re.findall(
        r"`((?:tier_cli|tests|examples|benchmarks|models|docs)/[\w./-]+)`", page.read_text("utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


@pages
def test_links_lead_to_files(page: Path) -> None:
    # As on GitHub: sphinx-build checks the links of the site, headings included.
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    files = [link for link in links if "://" not in link]
    assert [link for link in files if not (page.parent / link).exists()] == []
