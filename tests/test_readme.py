"""The README's examples are correct; `tests/docs/test_pages.py` checks its commands and links."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tier_cli.app import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_first_commands_install_and_test() -> None:
    # .ci/run runs these two as they stand.
    first, second, *others = re.findall(r"^```sh\n(.+?)\n```$", README, re.M | re.S)
    assert first == 'python -m pip install -c constraints.txt ".[all]" && tier classify examples'
    assert second == 'python -m pip install -c constraints.txt -e ".[test]" && python -m pytest'
    assert not others


def test_scores_shown_are_those_of_the_examples(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    names = ("02-effusion-pa.dcm", "01-healthy.dcm", "07-healthy.png")
    assert main(["classify", *(f"examples/{name}" for name in names), "--device", "cpu"]) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    effusion, *healthy = ({one["finding"]: one["score"] for one in result["findings"]} for result in results)
    shown = [float(score) for score in re.findall(r"^ [A-Z][a-z ]+ ([+-]\d\.\d{3}) ", README, re.M)]
    assert sorted(shown) == pytest.approx(sorted(effusion.values()), abs=2e-3)
    for name, scores in zip(names[1:], healthy, strict=True):
        (number,) = re.findall(rf"`{name}`\s\((-0\.\d+)\)", README)
        assert float(number) == pytest.approx(scores["effusion"], abs=2e-3)
