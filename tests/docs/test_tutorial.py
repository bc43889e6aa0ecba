"""The commands of the tutorial run, one after the other, and write what the page says."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tier_cli.app import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text("utf-8")


def test_every_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^\$ tier (.+)$", PAGE, re.M)
    assert len(commands) == 13
    for command in commands:
        # Fewer phantoms, to take less time.
        assert main(shlex.split(command.replace("--count 100", "--count 50"))) == 0, command
    for name in re.findall(r"--(?:output|report) (\S+)", PAGE):
        assert (tmp_path / name).exists(), name


def test_the_first_command_is_that_of_the_readme() -> None:
    install = 'python -m pip install -c constraints.txt ".[all]"'
    assert install in PAGE
    assert install in (ROOT / "README.md").read_text("utf-8")
