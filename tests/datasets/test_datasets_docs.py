"""What docs/datasets.md says of the data sets is what the readers do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tier_cli.app import main
from tier_cli.datasets.registry import DATASETS

PAGE = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text("utf-8")
ROWS = {
    cells[0].strip("`"): cells
    for line in PAGE.splitlines()
    if line.startswith("| `") and len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 5
}


@pytest.mark.parametrize(
    "name",
    [
        "nih14",
        "nih14-expert",
        "nih4-expert",
        "vindr",
        "rsna",
        "siim",
        "ms-cxr",
        "chexlocalize",
        "chestx-det10",
        "covid-qu-ex",
    ],
)
def test_splits_sets_and_layouts_are_told_as_they_are(name: str) -> None:
    info = DATASETS[name]
    assert ROWS[name][1] == ", ".join(info.splits)
    assert ROWS[name][4] == f"`{info.findings}`"
    section = re.search(rf"^### {name}: .+?```\n(.+?)```", PAGE, re.S | re.M)
    assert section is not None
    for file in re.findall(r"[\w-]+\.(?:csv|json|txt)", info.layout.splitlines()[0]):
        assert file in section.group(1)


def test_the_commands_have_the_options_shown(capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^tier (.+?)(?:\s+#.*)?$", PAGE, re.M)
    assert commands
    for command in commands:
        words = command.split()
        name = words[:2] if words[0] == "data" else words[:1]
        assert main([*name, "--help"]) == 0
        shown = capsys.readouterr().out
        assert all(word in shown for word in words if word.startswith("--")), command
