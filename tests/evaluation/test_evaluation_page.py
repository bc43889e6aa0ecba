"""docs/evaluation.md names all options, numbers, columns and keys, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tier_cli.app import main
from tier_cli.evaluation.document import COLUMNS
from tier_cli.evaluation.measure import Measured, Resampling
from tier_cli.evaluation.protocol import Protocol
from tier_cli.evaluation.report import Report
from tier_cli.evaluation.subgroups import WIDE
from tier_cli.evaluation.thresholds import FEW
from tier_cli.metrics.statistics import ECE_BINS, METRICS

PAGE = (Path(__file__).resolve().parents[2] / "docs/evaluation.md").read_text(encoding="utf-8")


def _rows(heading: str) -> str:
    part = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return "\n".join(line for line in part.splitlines() if line.startswith("|"))


def test_every_option_of_the_page_exists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--help"]) == 0
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    commands = re.findall(r"^\$ tier eval (.*)$", PAGE, re.MULTILINE)
    assert len(commands) > 5
    named = re.findall(r"--[a-z][a-z-]+", " ".join([*commands, *re.findall(r"`(--[^`]*)`", PAGE)]))
    assert set(named) <= known


def test_every_number_is_explained_in_its_order() -> None:
    named = re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in _rows("The numbers").splitlines()))
    assert [name for name in named if name in METRICS] == list(METRICS)
    assert f"over {ECE_BINS} bins" in PAGE
    assert f"fewer than {FEW} patients with or without" in " ".join(PAGE.split())
    assert f"wider than {WIDE}" in " ".join(PAGE.split())


def test_the_columns_of_csv_are_those_of_the_page() -> None:
    parts = [("", "_low", "_high"), ("_p", "_p_holm")]
    values, tests = ([f"{name}{part}" for name in METRICS for part in of] for of in parts)
    counts = ["by", "group", "scores", "finding", "n", "positives"]
    assert list(COLUMNS) == [*counts, *values, "threshold", "prevalence", *tests]


def test_every_key_of_the_document_is_explained() -> None:
    protocol = Protocol("m", "csv", "all", 0, "all", (), "ignore", {}, (None,), "", Resampling())
    empty = Measured("s", 0, 0, (), {})
    document = Report(protocol, (empty,), (), (), (), ()).to_dict()
    explained = set(re.findall(r"`(\w+)`", _rows("The JSON document")))
    assert set(document) - {"schema_version"} <= explained
    assert set(document["scores"][0]) <= explained
    assert np.isfinite(document["schema_version"])
    assert f"`schema_version` is {document['schema_version']}" in PAGE
