"""The example of docs/check.md is what the command prints."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REPORT = (
    "FINDINGS: The heart is normal in size. There is no pleural effusion or pneumothorax. Bibasilar "
    "atelectasis. The lungs are otherwise clear.\n\nIMPRESSION: Possible pneumonia."
)


def words(text: str) -> list[str]:
    """Return the words; the last digit of a score may differ between processors."""
    return [word for word in text.split() if not re.match(r"\(?[+-]0\.\d{3}", word)]


def test_the_example_of_the_page(
    tier: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "check.md").read_text("utf-8")
    (shown,) = re.findall(
        r"^\$ tier check examples/04\S+ report\.txt --prior \S+\n(.+?)^```", page, re.M | re.S
    )
    report = tmp_path / "report.txt"
    report.write_text(REPORT)
    given = ("examples/04-cardiomegaly.png", report, "--prior", "examples/02-effusion-pa.dcm")
    code, out, _ = tier("check", *given, "--table", "--workers", 0, "--device", "cpu")
    assert code == 0
    printed = out.split("\n\n")[0]
    assert words(printed) == words(shown)
    numbers = [[float(one) for one in re.findall(r"[+-]0\.\d{3}", text)] for text in (printed, shown)]
    assert numbers[0] == pytest.approx(numbers[1], abs=2e-3)
