"""What the README promises is there."""

from __future__ import annotations

import re
from pathlib import Path

from tier_cli.app import main

ROOT = Path(__file__).resolve().parents[1]


def readme_commands() -> list[str]:
    return re.findall(
        r"^\$? ?(tier [^\n|>]*)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )


def test_every_option_of_the_readme_exists(capsys):
    commands = readme_commands()
    assert len(commands) > 5
    for command in commands:
        words = command.replace("\\", " ").split("#")[0].split()[1:]
        name = [word for word in words[:2] if re.fullmatch("[a-z]+", word)]
        if name[0] not in ("data", "findings", "model"):
            name = name[:1]
        assert main([*name, "--help"]) == 0, command
        help_text = capsys.readouterr().out
        for option in (word.split("=")[0] for word in words if word.startswith("--")):
            assert option in help_text, f"{command}: no {option}"
