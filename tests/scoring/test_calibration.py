"""Probabilities only from a calibration that fits."""

from __future__ import annotations

from typing import Any

import pytest
from scipy.special import expit

from tier_cli.errors import CheckpointError
from tier_cli.results.record import FindingScore, Reference
from tier_cli.scoring.calibration import CalibrationKey, match_calibration

KEY = CalibrationKey("w" * 64, "voi", "p" * 64, "image")
CONTENT: dict[str, Any] = {
    "key": {"weights": "w" * 64, "rendering": "voi", "prompts": "p" * 64, "unit": "image", "ensemble": None},
    "findings": {"effusion": {"method": "platt", "a": 6.5, "b": -1.25, "threshold": 0.05}},
}
STEPS = {"method": "isotonic", "scores": [0.1, 0.2, 0.4], "probabilities": [0.1, 0.1, 0.5], "threshold": 0.2}


@pytest.mark.parametrize("score", [-300.0, -0.5, 0.0, 0.05, 0.9, 300.0])
def test_matching_calibration_gives_the_logistic_curve(score: float) -> None:
    calibration = match_calibration(CONTENT, KEY)
    (calibrated,) = calibration.apply([FindingScore("effusion", score)])
    assert calibrated.probability == pytest.approx(expit(6.5 * score - 1.25), abs=1e-12)
    assert calibrated.call is (score >= 0.05)
    assert calibrated.score == score
    assert calibration.note == ""


@pytest.mark.parametrize(
    ("score", "probability"), [(-9.0, 0.1), (0.1, 0.1), (0.15, 0.1), (0.3, 0.3), (0.4, 0.5), (9.0, 0.5)]
)
def test_steps_are_joined_by_lines_and_constant_beyond(score: float, probability: float) -> None:
    calibration = match_calibration({**CONTENT, "findings": {"effusion": STEPS}}, KEY)
    (calibrated,) = calibration.apply([FindingScore("effusion", score)])
    assert calibrated.probability == pytest.approx(probability, abs=1e-12)
    assert calibrated.call is (score >= 0.2)


def test_the_ordinary_range_goes_with_the_score() -> None:
    entry = {**CONTENT["findings"]["effusion"], "ordinary_range": [-0.2, 0.1]}
    calibration = match_calibration({**CONTENT, "findings": {"effusion": entry}}, KEY)
    (calibrated,) = calibration.apply([FindingScore("effusion", 0.2)])
    at_threshold = calibration.findings["effusion"].curve.probability(0.05)
    assert calibrated.reference == Reference(0.05, -0.2, 0.1, at_threshold)
    assert "reference" not in calibrated.to_dict()


@pytest.mark.parametrize("ordinary", [[0.1, 0.1], [0.2, 0.1], ["x", 1], [1], [0, float("nan")], 3])
def test_a_senseless_ordinary_range_is_an_error_with_the_finding(ordinary: Any) -> None:
    entry = {**CONTENT["findings"]["effusion"], "ordinary_range": ordinary}
    with pytest.raises(CheckpointError, match="effusion"):
        match_calibration({**CONTENT, "findings": {"effusion": entry}}, KEY)


def test_finding_without_a_curve_has_no_probability() -> None:
    (other,) = match_calibration(CONTENT, KEY).apply([FindingScore("hernia", 0.2)])
    assert other == FindingScore("hernia", 0.2)


def test_without_a_calibration_there_is_a_note() -> None:
    calibration = match_calibration(None, KEY)
    assert calibration.note == "no probability and no call: this checkpoint has no calibration"
    assert calibration.apply([FindingScore("effusion", 0.2)]) == (FindingScore("effusion", 0.2),)


@pytest.mark.parametrize("field", ["weights", "rendering", "prompts", "unit", "ensemble", "adaptation"])
def test_any_difference_in_the_key_counts(field: str) -> None:
    other = {**CONTENT, "key": {**CONTENT["key"], field: "another"}}
    calibration = match_calibration(other, KEY)
    assert calibration.apply([FindingScore("effusion", 0.2)]) == (FindingScore("effusion", 0.2),)
    assert field in calibration.note


@pytest.mark.parametrize("missing", ["weights", "rendering", "prompts", "unit"])
def test_incomplete_key_matches_nothing(missing: str) -> None:
    key = {name: value for name, value in CONTENT["key"].items() if name != missing}
    assert missing in match_calibration({**CONTENT, "key": key}, KEY).note


@pytest.mark.parametrize(
    "change",
    [
        {"key": None},
        {"findings": None},
        {"findings": {}},
        {"findings": {"effusion": {"method": "platt", "a": 1, "b": 0}}},
        {"findings": {"effusion": {"method": "platt", "a": float("nan"), "b": 0, "threshold": 0.5}}},
        {"findings": {"effusion": {"method": "platt", "a": -1, "b": 0, "threshold": 0.5}}},
        {"findings": {"effusion": {"method": "platt", "a": "x", "b": 0, "threshold": 0.5}}},
        {"findings": {"effusion": {"a": 1, "b": 0, "threshold": 0.5}}},
        {"findings": {"effusion": {**STEPS, "method": "beta"}}},
        {"findings": {"effusion": {**STEPS, "scores": []}}},
        {"findings": {"effusion": {**STEPS, "scores": [], "probabilities": []}}},
        {"findings": {"effusion": {**STEPS, "scores": [0.2, 0.1, 0.3]}}},
        {"findings": {"effusion": {**STEPS, "probabilities": [0.2, 0.1, 0.3]}}},
        {"findings": {"effusion": {**STEPS, "probabilities": [0.2, 0.3, 1.3]}}},
        {"findings": {"effusion": {**STEPS, "threshold": float("inf")}}},
    ],
)
def test_invalid_content_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=r"calibration\.json"):
        match_calibration({**CONTENT, **change}, KEY)
