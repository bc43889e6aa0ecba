"""The examples of docs/findings.md are correct."""

from __future__ import annotations

import re
from pathlib import Path

from tier_cli.findings.load import load_findings, parse_findings

PAGE = (Path(__file__).parents[2] / "docs" / "findings.md").read_text("utf-8")


def test_the_example_set_is_sound() -> None:
    example = re.search(r"```toml\n(.+?)```", PAGE, re.S)
    assert example is not None
    fs = parse_findings(example.group(1), "x")
    assert (fs.name, fs.ids) == ("ward", ("rib_fracture", "normal"))
    assert fs.findings[0].negative == (
        "The ribs are intact.",
        "No rib fracture.",
        "No evidence of rib fracture.",
    )


def test_the_prompts_of_free_texts_are_those_shown() -> None:
    (finding,) = load_findings("left lung abscess").findings
    assert f"`{finding.id}`" in PAGE
    for row in zip(finding.positive, finding.negative, strict=True):
        assert f"| {row[0]} | {row[1]} |" in PAGE
