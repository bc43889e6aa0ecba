"""`tier model`: tables for people and JSON for programs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, load_file
from typer.testing import CliRunner

from tier_cli.commands import model as command
from tier_cli.errors import CheckpointError
from tier_cli.model import checkpoint as checkpoints
from tier_cli.model.bundled import BUNDLED
from tier_cli.model.checkpoint import read_json
from tier_cli.model.registry import public_models
from tier_cli.model.verify import verify

runner = CliRunner()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_wants_json", lambda as_json: as_json)


def test_list_names_models_and_places(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = checkpoints.Place("checkout", tiny_folder.parent)
    monkeypatch.setattr(checkpoints, "places", lambda: [place])
    first, *others = map(json.loads, runner.invoke(command.app, ["list"]).stdout.splitlines())
    assert list(first)[:4] == ["name", "installed", "place", "path"]
    assert list(first.values())[:4] == ["tiny", True, "checkout", str(tiny_folder)]
    # What nobody knows of one's own model is null; what its folder says is not.
    assert {name for name, value in first.items() if value is None} == {
        *("title", "licence", "source", "family", "pixels", "hashes")
    }
    assert first["rendering"] == read_json(tiny_folder / "preprocessor_config.json")["rendering"]
    assert [row["name"] for row in others] == list(public_models())
    assert {row["installed"] for row in others} == {False}
    assert {tuple(row) for row in others} == {tuple(first)}


def test_list_tells_what_is_known_of_a_public_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "places", list)
    rows = {
        row["name"]: row for row in map(json.loads, runner.invoke(command.app, ["list"]).stdout.splitlines())
    }
    for name, model in public_models().items():
        told = ("title", "licence", "family", "rendering", "pixels")
        assert {key: rows[name][key] for key in told} == {key: getattr(model, key) for key in told}
    siglip = rows["siglip"]
    assert siglip["source"] == "google/siglip-base-patch16-224@7fd15f0689c79d79e38b1c2e2e2370a7bf2761ed"
    assert list(siglip["hashes"]) == ["model.safetensors"]
    assert siglip["hashes"]["model.safetensors"].startswith("sha256:2c63cb7d")
    assert rows["biovil"]["hashes"]["biovil_image_resnet50_proj_size_128.pt"].startswith("md5:02ce6ee4")
    assert (rows["chexzero"]["source"], rows["chexzero"]["hashes"]) == (None, None)


def test_a_broken_model_does_not_hide_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, training in (("a", "{"), ("b", '{"converted": 3}'), ("c", '{"converted": {"origin": []}}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "training.json").write_text(training)
    monkeypatch.setattr(checkpoints, "places", lambda: [checkpoints.Place("checkout", tmp_path)])
    rows = [json.loads(line) for line in runner.invoke(command.app, ["list"]).stdout.splitlines()]
    assert [row["name"] for row in rows if row["installed"]] == ["a", "b", "c"]


@pytest.mark.usefixtures("terminal")
def test_the_licence_of_an_installed_model_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = {"name": "medsiglip", "licence": "Health AI Developer Foundations terms"}
    folder = tmp_path / "medsiglip"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "training.json").write_text(json.dumps({"converted": {"origin": origin}}))
    monkeypatch.setattr(checkpoints, "places", lambda: [checkpoints.Place("downloads", tmp_path)])
    shown = runner.invoke(command.app, ["list"], env={"COLUMNS": "80"}).stderr
    installed = shown[: shown.index("not installed")]
    assert "Health AI" in installed
    assert "medsiglip" in installed
    assert max(map(len, shown.splitlines())) <= 80


def test_info_quotes_the_hashes(tiny: checkpoints.Checkpoint) -> None:
    facts = json.loads(runner.invoke(command.app, ["info", str(tiny.path)]).stdout)
    assert facts["hashes"] == {**tiny.hashes, "findings": tiny.findings.hash}
    assert (facts["image_tower"], facts["text_tower"]) == ("resnet", "bert")
    assert facts["findings"] == list(tiny.findings.ids)


def test_a_folder_whose_name_is_not_utf8(tiny_copy: Path) -> None:
    odd = tiny_copy.rename(tiny_copy.with_name("m\udcff x"))
    facts = json.loads(runner.invoke(command.app, ["info", str(odd)]).stdout)
    assert facts["path"] == str(odd.resolve())


@pytest.mark.usefixtures("terminal")
def test_tables_go_to_stderr(tiny_folder: Path) -> None:
    result = runner.invoke(command.app, ["info", str(tiny_folder)])
    assert result.stdout == ""
    assert "cosine_difference" in result.stderr


@pytest.mark.usefixtures("terminal")
def test_hashes_are_not_truncated_on_a_narrow_terminal(tiny: checkpoints.Checkpoint) -> None:
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
    assert verify(tiny_copy) == []
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


def test_path_prints_the_folder(tiny: checkpoints.Checkpoint) -> None:
    result = runner.invoke(command.app, ["path", str(tiny.path)])
    assert (result.exit_code, result.stdout) == (0, f"{tiny.path}\n")
    bundled = runner.invoke(command.app, ["path", "tier-small"])
    assert Path(bundled.stdout.strip()).name == "tier-small"


@pytest.mark.usefixtures("terminal")
def test_info_begins_with_what_decides_and_ends_with_hashes(tiny: checkpoints.Checkpoint) -> None:
    bundled = runner.invoke(command.app, ["info", "tier-small"], env={"COLUMNS": "120"}).stderr
    order = ["licence", "auc", "limits", "image_tower", "training", "hashes weights"]
    places = [bundled.index(f"│ {name}") for name in order]
    assert places == sorted(places)
    assert "Apache-2.0" in bundled
    assert "no diagnosis" in bundled
    own = runner.invoke(command.app, ["info", str(tiny.path)], env={"COLUMNS": "120"}).stderr
    assert re.search(r"licence +│ not recorded", own)


def test_what_is_said_of_the_bundled_model_is_what_was_measured() -> None:
    checkpoint = checkpoints.open_checkpoint("tier-small")
    bundled = BUNDLED[checkpoint.hashes["weights"]]
    report = read_json(checkpoint.path / "report.json")
    card = (checkpoint.path / "README.md").read_text("utf-8")
    assert bundled.auc[: bundled.auc.index(":")] in card
    part = report["parts"]["All test images"]
    means = {run: [f"{value:.3f}" for value in figures] for run, figures in part["mean_of_each_run"].items()}
    # The shipped weights are the first of three seeds.
    assert bundled.auc.startswith("{} [{}, {}]".format(*means["tier-0"]))
    assert bundled.auc.split("linear layer has ")[1].startswith(means["supervised-0"][0])
    assert f"on {part['n']} test images" in bundled.auc
    assert bundled.licence in card
    rows = map(json.loads, runner.invoke(command.app, ["list"]).stdout.splitlines())
    (row,) = (row for row in rows if row["name"] == "tier-small")
    assert (row["licence"], row["title"]) == (bundled.licence, bundled.title)
