"""Several training checkpoints become one model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import xrays
from foreign import OpenAIClip, bert_tokenizer, clip_tokenizer, randomise, vocabulary_size
from foreign_biovil import TierAuthors, random_weights, save_training
from parity import our_scores, prepared, save
from typer.testing import CliRunner

from tier_cli.app import main
from tier_cli.commands import model as command
from tier_cli.errors import UsageError
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.convert.several import convert_several

pytestmark = pytest.mark.usefixtures("without_graphs")


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    size = bert_tokenizer(tmp_path / "vocabulary")
    return [
        save_training(tmp_path / f"best_model_{seed}.pt", random_weights(TierAuthors(size), seed))
        for seed in range(2)
    ]


def test_the_authors_ensemble_averages_scores(
    sources: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*map(str, sources), str(tmp_path / "tier"), "--tokenizer", str(tmp_path / "vocabulary")]
    made = CliRunner().invoke(command.app, ["convert", *given])
    assert made.exit_code == 0, made.output
    records = json.loads(made.stdout)["members"]
    assert [(one["name"], list(one["source"])) for one in records] == [
        ("tier-1", ["best_model_0.pt"]),
        ("tier-2", ["best_model_1.pt"]),
    ]
    image = xrays.write_dicom(tmp_path / "a.dcm")
    assert main(["classify", str(image), "--model", str(tmp_path / "tier"), "--device", "cpu"]) == 0
    row = json.loads(capsys.readouterr().out)
    radiograph = read_radiograph(str(image), ReadOptions(rendering="minmax-equalized"))
    each = []
    for number in (1, 2):
        checkpoint = open_checkpoint(tmp_path / "tier" / f"tier-{number}")
        each.append(our_scores(checkpoint, prepared(checkpoint, [radiograph]))[0][0])
    given_scores = [finding["score"] for finding in row["findings"]]
    np.testing.assert_allclose(given_scores, np.mean(each, axis=0), atol=1e-5)


def test_one_file_under_two_names(sources: list[Path], tmp_path: Path) -> None:
    copied = tmp_path / "copy.pt"
    copied.write_bytes(sources[0].read_bytes())
    with pytest.raises(UsageError, match=r"copy\.pt: has the weights of .*best_model_0\.pt"):
        convert_several([sources[0], copied], tmp_path / "tier", tokenizer=tmp_path / "vocabulary")
    assert not (tmp_path / "tier").exists()


def test_files_of_two_families(sources: list[Path], tmp_path: Path) -> None:
    bpe = clip_tokenizer(tmp_path / "vocabulary")
    state = randomise(OpenAIClip(vocabulary_size(bpe))).state_dict()
    # As OpenAI's own archives describe themselves.
    state |= {name: torch.tensor(1) for name in ("input_resolution", "context_length", "vocab_size")}
    other = save(state, tmp_path / "other.pt")
    with pytest.raises(UsageError, match=r"belongs to the family tier-authors, not openai-clip"):
        convert_several([other, sources[0]], tmp_path / "both", tokenizer=bpe)
