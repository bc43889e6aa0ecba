"""docs/stress.md and docs/grounding.md list the kinds, levels, thresholds and protocols of the code."""

from __future__ import annotations

import re
from pathlib import Path

from tier_cli.evaluation.sections.grounding_protocols import PROTOCOLS
from tier_cli.evaluation.sections.grounding_summary import FIXED
from tier_cli.imaging.corrupt import LEVELS, MEANINGS

DOCS = Path(__file__).parents[2] / "docs"
PAGE, GROUNDING = ((DOCS / name).read_text("utf-8") for name in ("stress.md", "grounding.md"))


def test_kinds_and_levels() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d., ]+) \| (.+) \|$", PAGE, re.M)
    assert {kind: tuple(map(float, levels.split(","))) for kind, levels, _ in rows} == dict(LEVELS)
    for kind, _, meaning in rows:
        assert meaning.split(";")[0].split(",")[0] in MEANINGS[kind]


def test_fixed_thresholds() -> None:
    assert FIXED["difference"] == (0.0,)
    assert FIXED["phrase"] == FIXED["positive"] == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert "above 0 for differences; for single cosines the mean over 0.1, 0.2, 0.3, 0.4 and 0.5" in GROUNDING


def test_protocols_and_their_numbers() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", GROUNDING, re.M)
    assert rows == [(name, measure) for name, known in PROTOCOLS.items() for measure in known.measures]
