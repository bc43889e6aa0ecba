"""`tier model` as a person and as a program see it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, load_file
from typer.testing import CliRunner

from tier_cli.commands import model as command
from tier_cli.errors import CheckpointError
from tier_cli.model import checkpoint as checkpoints
from tier_cli.model.registry import public_models

runner = CliRunner()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_for_programs", lambda as_json: as_json)


def test_list_names_models_and_places(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = checkpoints.Place("checkout", tiny_folder.parent)
    monkeypatch.setattr(checkpoints, "places", lambda: [place])
    first, *others = map(json.loads, runner.invoke(command.app, ["list"]).stdout.splitlines())
    assert first == {"name": "tiny", "installed": True, "place": "checkout", "path": str(tiny_folder)}
    assert [row["name"] for row in others] == list(public_models())
    assert {row["installed"] for row in others} == {False}


def test_info_quotes_the_hashes(tiny: checkpoints.Checkpoint) -> None:
    facts = json.loads(runner.invoke(command.app, ["info", str(tiny.path)]).stdout)
    assert facts["hashes"] == {**tiny.hashes, "findings": tiny.findings.hash}
    assert (facts["image_tower"], facts["text_tower"]) == ("resnet", "bert")
    assert facts["findings"] == list(tiny.findings.ids)


def test_a_folder_whose_name_is_no_utf8(tiny_copy: Path) -> None:
    odd = tiny_copy.rename(tiny_copy.with_name("m\udcff x"))
    facts = json.loads(runner.invoke(command.app, ["info", str(odd)]).stdout)
    assert facts["path"] == str(odd.resolve())


@pytest.mark.usefixtures("terminal")
def test_tables_go_to_stderr(tiny_folder: Path) -> None:
    result = runner.invoke(command.app, ["info", str(tiny_folder)])
    assert result.stdout == ""
    assert "cosine_difference" in result.stderr


@pytest.mark.usefixtures("terminal")
def test_hashes_are_whole_on_a_narrow_terminal(tiny: checkpoints.Checkpoint) -> None:
    shown = runner.invoke(command.app, ["info", str(tiny.path)], env={"COLUMNS": "60"}).stderr
    lines = [line.split("│")[2].strip() for line in shown.splitlines() if line.count("│") == 3]
    assert tiny.hashes["weights"] in "".join(lines)


@pytest.mark.usefixtures("terminal")
def test_verify_exits_with_2_on_an_altered_file(tiny_copy: Path) -> None:
    sound = runner.invoke(command.app, ["verify", str(tiny_copy)])
    assert (sound.exit_code, sound.stdout) == (0, "")
    (tiny_copy / "training.json").write_text("{}")
    altered = runner.invoke(command.app, ["verify", str(tiny_copy)])
    assert altered.exit_code == 2
    assert "training.json: altered" in altered.stderr
    as_json = json.loads(runner.invoke(command.app, ["verify", str(tiny_copy), "--json"]).stdout)
    assert as_json == {"path": str(tiny_copy), "ok": False, "problems": ["training.json: altered"]}


def test_export_restores_graphs_and_vectors(tiny_copy: Path) -> None:
    names = ("image_encoder.onnx", "text_encoder.onnx", "finding_vectors.safetensors", "checksums.json")
    before = {name: (tiny_copy / name).read_bytes() for name in names}
    for name in names:
        (tiny_copy / name).unlink()
    result = runner.invoke(command.app, ["export", str(tiny_copy)])
    assert result.exit_code == 0, result.output
    assert max(json.loads(result.stdout)["difference_from_torch"].values()) < 1e-4
    assert checkpoints.verify(tiny_copy) == []
    for name in names[:2]:
        assert (tiny_copy / name).read_bytes() == before[name], name
    # Vectors are computed anew, and a matrix product may differ in its last bit from run to run.
    vectors, vectors_before = load_file(tiny_copy / names[2]), load(before[names[2]])
    assert vectors.keys() == vectors_before.keys()
    for name, expected in vectors_before.items():
        np.testing.assert_allclose(vectors[name], expected, atol=1e-6, err_msg=name)


def test_unknown_models_are_checkpoint_errors() -> None:
    result = runner.invoke(command.app, ["info", "no-such-model"])
    assert isinstance(result.exception, CheckpointError)
