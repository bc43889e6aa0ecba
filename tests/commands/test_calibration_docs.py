"""The commands in docs/calibration.md exist, and its numbers are those of the code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tier_cli.fitting import adapt, calibrate
from tier_cli.scoring.operating_points import RULES, parse_rule

Tier = Callable[..., tuple[int, str, str]]
PAGE = (Path(__file__).parents[2] / "docs" / "calibration.md").read_text("utf-8")


def test_commands_and_options_exist(tier: Tier) -> None:
    commands = re.findall(r"^\$ tier (.+)$", PAGE, re.MULTILINE)
    assert len(commands) == 8
    for command in commands:
        words = command.split()
        name = words[:2] if words[0] == "model" else words[:1]
        code, text, _ = tier(*name, "--help")
        assert code == 0
        for option in (word for word in words if word.startswith("--")):
            assert option in text, command


def test_rules_are_those_of_the_code() -> None:
    assert calibrate.MIN_PATIENTS == {"platt": 10, "isotonic": 30}
    assert calibrate.Plan("platt", parse_rule("youden")).folds == 5
    assert (adapt.MIN_PATIENTS, adapt.FOLDS, adapt.REPEATS) == (5, 10, 3)
    assert all(f"`{rule}`" in PAGE for rule in RULES)
