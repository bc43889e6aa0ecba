"""`tier model convert`: its table, its JSON, its errors and its page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from foreign import OpenAIClip, clip_tokenizer, randomise, vocabulary_size
from parity import save
from typer.testing import CliRunner
from xrays import write_dicom, write_png

from tier_cli.app import main
from tier_cli.commands import model as command
from tier_cli.model.convert.detect import FAMILIES
from tier_cli.scoring.score import SCORINGS

PAGE = (Path(__file__).parents[3] / "docs" / "checkpoints.md").read_text("utf-8")


@pytest.fixture
def source(tmp_path: Path) -> list[str]:
    bpe = clip_tokenizer(tmp_path / "bpe")
    model = randomise(OpenAIClip(vocabulary_size(bpe)))
    file = save(model.state_dict(), tmp_path / "best.pt")
    return [str(file), str(tmp_path / "made"), "--tokenizer", str(bpe), "--family", "chexzero"]


@pytest.mark.usefixtures("without_graphs")
def test_a_converted_folder_scores_dicom_and_png(
    source: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = CliRunner().invoke(
        command.app, ["convert", *source, "--findings", "pleural effusion,rib fracture"]
    )
    assert made.exit_code == 0, made.output
    facts = json.loads(made.stdout)
    assert facts["path"] == str(tmp_path / "made")
    training = json.loads((tmp_path / "made" / "training.json").read_text())
    assert {"path": facts["path"], **training["converted"]} == {
        key: value for key, value in facts.items() if key != "difference_from_torch"
    }
    images = [str(write_dicom(tmp_path / "a.dcm")), str(write_png(tmp_path / "b.png", 1, 131))]
    assert main(["classify", *images, "--model", str(tmp_path / "made"), "--device", "cpu"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["scoring"] for row in rows} == {"softmax_pair"}
    scores = [finding["score"] for row in rows for finding in row["findings"]]
    assert len(scores) == 4
    assert all(0.11 < score < 0.89 for score in scores)


@pytest.mark.usefixtures("without_graphs")
def test_a_person_sees_a_table(source: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_wants_json", lambda as_json: as_json)
    made = CliRunner().invoke(command.app, ["convert", *source])
    assert (made.exit_code, made.stdout) == (0, "")
    assert "softmax_pair" in made.stderr


def test_what_cannot_be_converted_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pt")
    for taken in (tmp_path / "new", tmp_path):
        assert main(["model", "convert", str(tmp_path / "a.pt"), str(taken)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "not a checkpoint of a known kind" in " ".join(said.err.split())
    assert "already exists" in " ".join(said.err.split())


def test_the_page_names_every_family_scoring_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    for name in (*FAMILIES, *SCORINGS):
        assert f"| `{name}` |" in PAGE
    for words in (["model", "convert"], ["model", "pull"], ["train"], ["eval"]):
        assert main([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    for option in set(re.findall(r"`?(--[a-z]+)", PAGE)) - {"--model"}:
        assert option in shown
