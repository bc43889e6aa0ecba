"""Results against the published schema."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from tier_cli.results.record import FindingScore, Reference, Result


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    """The schema as the package ships it."""
    content = json.loads((files("tier_cli.results") / "result.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(content)
    return Draft202012Validator(content)


def _as_json(result: Result) -> Any:
    return json.loads(json.dumps(result.to_dict(), allow_nan=False))


def test_scored_image_fits_the_schema(schema: Draft202012Validator, scored: Result) -> None:
    document = _as_json(scored)
    schema.validate(document)
    assert document["path"] == "in/a,b.dcm"
    assert document["findings"][0] == {
        "finding": "effusion",
        "score": 0.123457,
        "probability": None,
        "call": None,
    }
    assert document["findings"][1]["call"] is False
    assert document["model"] == {
        "name": "tiny",
        "hashes": {"weights": "a" * 64, "preprocessing": "b" * 64, "findings": "c" * 64},
    }
    assert document["error"] is None


def test_failed_image_fits_the_schema(schema: Draft202012Validator, failed: Result) -> None:
    document = _as_json(failed)
    schema.validate(document)
    assert document["findings"] == []
    assert document["error"] == {"kind": "modality", "message": "it is a CT"}
    assert document["study"] is None


def test_study_has_paths_instead_of_a_path(schema: Draft202012Validator, scored: Result) -> None:
    document = _as_json(replace(scored, unit="study", paths=("a", "b")))
    schema.validate(document)
    assert document["paths"] == ["a", "b"]
    assert "path" not in document


def test_patient_data_only_if_given(schema: Draft202012Validator, scored: Result) -> None:
    assert "phi" not in _as_json(scored)
    document = _as_json(replace(scored, phi={"patient_name": "Doe^Jane"}))
    schema.validate(document)
    assert document["phi"] == {"patient_name": "Doe^Jane"}


@pytest.mark.parametrize(
    "change",
    [
        {"findings": []},
        {"error": {"kind": "x", "message": "scores and an error"}},
        {"paths": ["both"]},
        {"surprise": 1},
        {"schema_version": 2},
        {"model": {"name": "x", "hashes": {"weights": "short"}}},
    ],
)
def test_schema_refuses(schema: Draft202012Validator, scored: Result, change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        schema.validate({**_as_json(scored), **change})


def test_top_keeps_the_highest_in_order(scored: Result) -> None:
    reverse = replace(scored, findings=scored.findings[::-1])
    assert [score.finding for score in reverse.top(5).findings] == ["effusion", "hernia"]
    assert [score.finding for score in reverse.top(1).findings] == ["effusion"]


def test_a_weak_finding_does_not_hide_a_strong_one(scored: Result) -> None:
    """Scores of a weak finding stray far above its low threshold, but its probability hardly rises."""
    weak = FindingScore("mass", 0.09, 0.16, True, Reference(-0.06, low=-0.2, high=0.1, probability=0.13))
    strong = FindingScore("effusion", 0.13, 0.6, True, Reference(0.02, low=-0.2, high=0.1, probability=0.25))
    denied = FindingScore("edema", 0.0, 0.05, False, Reference(0.01, low=-0.2, high=0.1, probability=0.06))
    result = replace(scored, findings=(denied, weak, strong))
    assert result.ranked() == (strong, weak, denied), "and every call comes before what is not called"


def test_flat_and_certain_curves_have_an_order(scored: Result) -> None:
    """Isotonic curves reach 0 and 1, and hold scores on both sides of the operating point at one height."""
    step = Reference(0.1, low=-0.2, high=0.1, probability=0.2)
    below, above = FindingScore("a", 0.05, 0.2, False, step), FindingScore("b", 0.15, 0.2, True, step)
    certain, absent = FindingScore("c", 0.3, 1.0, True, step), FindingScore("d", -0.3, 0.0, False, step)
    result = replace(scored, findings=(absent, below, above, certain))
    assert result.ranked() == (certain, above, below, absent)
