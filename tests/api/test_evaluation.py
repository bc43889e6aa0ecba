"""Evaluating from Python gives the report of the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import assert_type

import pytest
from tiny import tiny_checkpoint

import tier_cli as tier
from tier_cli.app import main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SETTINGS = tier.EvaluationSettings(findings="chexpert5", replicates=20)


def test_a_model_its_results_and_the_command_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIER_CACHE_DIR", str(tmp_path / "cache"))
    manifest = EXAMPLES / "manifest.csv"
    folder = tiny_checkpoint(tmp_path / "tiny")
    output = tmp_path / "metrics.json"
    arguments = ["--findings", "chexpert5", "--replicates", "20", "--device", "cpu", "--output", str(output)]
    assert main(["eval", "--data", str(manifest), "--model", str(folder), *arguments]) == 0
    told = json.loads(output.read_text("utf-8"))

    model = tier.load(folder, device="cpu")
    report = tier.evaluate(model, manifest, SETTINGS)
    assert_type(report, tier.Report)
    found = json.loads(report.to_json())
    assert found["scores"][0]["findings"] == told["scores"][0]["findings"]
    results = list(model.classify([EXAMPLES], "chexpert5", workers=0))
    again = json.loads(tier.evaluate(results, manifest, SETTINGS).to_json())
    scored, written = (one["scores"][0]["findings"] for one in (found, again))
    for here, there in zip(scored, written, strict=True):
        assert here["finding"] == there["finding"]
        assert here["auc"] == there["auc"]
