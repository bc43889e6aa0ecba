"""A folder of checkpoints that is named as one model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import xrays
from tiny import tiny_checkpoint

from tier_cli.app import main
from tier_cli.errors import CheckpointError
from tier_cli.model import checkpoint as checkpoints
from tier_cli.model.ensemble import members, write_ensemble


@pytest.fixture
def ensemble(tmp_path: Path) -> Path:
    folder = tmp_path / "places" / "both"
    for number in (1, 2):
        tiny_checkpoint(folder / f"both-{number}", seed=number)
    write_ensemble(folder, ["both-1", "both-2"])
    return folder


def _scores(capsys: pytest.CaptureFixture[str], image: Path, *models: str) -> tuple[str, dict[str, float]]:
    named = [word for model in models for word in ("--model", model)]
    assert main(["classify", str(image), *named, "--device", "cpu", "--workers", "0"]) == 0
    row = json.loads(capsys.readouterr().out)
    return row["model"]["name"], {finding["finding"]: finding["score"] for finding in row["findings"]}


def test_scores_are_the_mean_of_its_members(
    ensemble: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "places", lambda: [checkpoints.Place("downloads", ensemble.parent)])
    assert [name for name, _ in checkpoints.list_models()] == ["both"]
    image = xrays.write_png(tmp_path / "a.png")
    name, together = _scores(capsys, image, "both")
    assert name == "both-1 + both-2"
    each = [_scores(capsys, image, str(ensemble / f"both-{number}"))[1] for number in (1, 2)]
    assert each[0] != each[1]
    assert together == pytest.approx({key: (each[0][key] + each[1][key]) / 2 for key in together}, abs=1e-6)


def test_commands_for_one_checkpoint_name_the_members(
    ensemble: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, index = str(xrays.write_png(tmp_path / "a.png")), str(tmp_path / "a.npz")
    embed = ["embed", image, "--device", "cpu", "--workers", "0", "--output"]
    assert main([*embed, index, "--model", str(ensemble / "both-1")]) == 0
    capsys.readouterr()
    for command in (
        ["model", "info", str(ensemble)],
        ["model", "verify", str(ensemble)],
        [*embed, str(tmp_path / "b.npz"), "--model", str(ensemble)],
        ["search", "effusion", "--index", index, "--model", str(ensemble)],
    ):
        assert main(command) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "is an ensemble, but one checkpoint is required" in said
        assert "both-1, both-2" in said


@pytest.mark.parametrize("listed", [{}, {"members": []}, {"members": ["../both/both-1"]}, {"members": [3]}])
def test_an_invalid_member_list_is_refused(ensemble: Path, listed: dict[str, list[object]]) -> None:
    (ensemble / "ensemble.json").write_text(json.dumps(listed))
    with pytest.raises(CheckpointError, match="does not list its members"):
        members(ensemble)


def test_a_missing_member_is_refused(ensemble: Path) -> None:
    write_ensemble(ensemble, ["both-1", "both-3"])
    with pytest.raises(CheckpointError, match="both-3"):
        members(ensemble)
