"""map_scale.json: what is written is read, and a file that is not valid is refused with the remedy."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tier_cli.errors import CheckpointError
from tier_cli.maps.scale import MAP_SCALE, MapScale, map_scale_facts, read_map_scale, write_map_scale

RANGES = {"difference": [-0.4, 0.4], "positive": [-0.2, 0.5], "phrase": [-0.3, 0.45]}
CONTENT: dict[str, Any] = {
    "ranges": RANGES,
    "thresholds": {"mine": {"mass": {"threshold": 0.125, "chosen_by": "dice", "n": 21}}},
}


def _checkpoint(folder: Path, weights: str = "a") -> Any:
    return SimpleNamespace(path=folder, hashes={"weights": weights, "preprocessing": "b", "tokenizer": "c"})


def _set(name: str) -> Any:
    return SimpleNamespace(hash=name)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    checkpoint = _checkpoint(tmp_path)
    write_map_scale(tmp_path, checkpoint, CONTENT)
    scale = read_map_scale(checkpoint, _set("mine"))
    assert scale.ranges == {kind: tuple(values) for kind, values in RANGES.items()}
    assert scale.thresholds == {"mass": 0.125}
    assert scale.note == ""
    facts = map_scale_facts(tmp_path)
    assert facts is not None
    assert facts["thresholds"]["mine"]["mass"]["chosen_by"] == "dice"


def test_thresholds_of_other_prompts_do_not_apply_but_the_colours_do(tmp_path: Path) -> None:
    checkpoint = _checkpoint(tmp_path)
    write_map_scale(tmp_path, checkpoint, CONTENT)
    scale = read_map_scale(checkpoint, _set("other"))
    assert not scale.thresholds
    assert scale.ranges["difference"] == (-0.4, 0.4)


def test_a_scale_of_other_weights_is_not_used(tmp_path: Path) -> None:
    write_map_scale(tmp_path, _checkpoint(tmp_path), CONTENT)
    scale = read_map_scale(_checkpoint(tmp_path, "retrained"), _set("mine"))
    assert "other weights" in scale.note
    assert scale.ranges == MapScale().ranges
    assert not scale.thresholds


def test_a_checkpoint_without_a_scale_says_how_to_fit_one(tmp_path: Path) -> None:
    assert map_scale_facts(tmp_path) is None
    assert "tier model map-scale" in read_map_scale(_checkpoint(tmp_path), _set("mine")).note


HOSTILE: dict[str, dict[str, Any]] = {
    "no ranges": {"thresholds": {}},
    "no thresholds": {"ranges": RANGES},
    "a kind is missing": {"ranges": {"difference": [-1, 1]}, "thresholds": {}},
    "upside down": {"ranges": {**RANGES, "phrase": [0.5, 0.5]}, "thresholds": {}},
    "three numbers": {"ranges": {**RANGES, "phrase": [0, 1, 2]}, "thresholds": {}},
    "no list": {"ranges": {**RANGES, "phrase": 7}, "thresholds": {}},
    "a text": {"ranges": {**RANGES, "phrase": ["0", "1"]}, "thresholds": {}},
    "a truth": {"ranges": {**RANGES, "phrase": [False, True]}, "thresholds": {}},
    "not finite": {"ranges": {**RANGES, "phrase": [float("nan"), 1]}, "thresholds": {}},
    "infinite": {"ranges": {**RANGES, "phrase": [0, float("inf")]}, "thresholds": {}},
    "no cosine": {"ranges": {**RANGES, "phrase": [0, 1e300]}, "thresholds": {}},
    "huge": {"ranges": {**RANGES, "phrase": [0, 10**400]}, "thresholds": {}},
    "thresholds in a list": {"ranges": RANGES, "thresholds": []},
    "a set in a list": {"ranges": RANGES, "thresholds": {"mine": [0.1]}},
    "a bare number": {"ranges": RANGES, "thresholds": {"mine": {"mass": 0.1}}},
    "an unusable number": {"ranges": RANGES, "thresholds": {"mine": {"mass": {"threshold": None}}}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_not_valid_is_refused(tmp_path: Path, name: str) -> None:
    checkpoint = _checkpoint(tmp_path)
    write_map_scale(tmp_path, checkpoint, HOSTILE[name])
    with pytest.raises(CheckpointError, match="not a valid scale of maps") as error:
        read_map_scale(checkpoint, _set("mine"))
    assert error.value.where == str(tmp_path / MAP_SCALE)
    assert "tier model map-scale" in (error.value.remedy or "")


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, json.dumps({"key": "\ud800"})])
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MAP_SCALE).write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError):
        read_map_scale(_checkpoint(tmp_path), _set("mine"))
