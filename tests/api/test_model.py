"""Models from Python give the numbers of the commands, and their errors are results."""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import assert_type

import numpy as np
import pytest
from tiny import tiny_checkpoint

import tier_cli as tier
from tier_cli.app import main

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PA = EXAMPLES / "02-effusion-pa.dcm"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(folder: Path) -> tier.Model:
    return tier.load(folder, device="cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIER_CACHE_DIR", str(tmp_path / "cache"))


def test_one_file_gives_one_result(model: tier.Model) -> None:
    result = model.classify(PA, findings="chexpert5")
    assert_type(result, tier.Result)
    assert result.paths == (str(PA),)
    assert result.view == "PA"
    assert len(result.scores) == 5


def test_a_list_streams_in_order_and_a_bad_file_is_a_result(model: tier.Model, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    asked: list[str] = []

    def paths() -> Iterator[Path]:
        for path in (PA, bad, EXAMPLES / "07-healthy.png", tmp_path / "missing.dcm", PA, PA, PA):
            asked.append(path.name)
            yield path

    results = model.classify(paths(), workers=0, batch_size=1)
    assert_type(results, Generator[tier.Result, None, None])
    first = next(results)
    assert first.error is None
    assert len(asked) < 7
    rest = list(results)
    assert [Path(result.paths[0]).name for result in (first, *rest)] == asked
    assert [result.error.kind if result.error else "" for result in rest[:3]] == ["unreadable", "", "missing"]


def test_a_bad_file_alone_is_a_result_too(model: tier.Model, tmp_path: Path) -> None:
    result = model.classify(tmp_path / "missing.dcm")
    assert result.error is not None
    assert result.error.kind == "missing"
    assert result.scores == {}


@pytest.mark.parametrize("path", [EXAMPLES, str(EXAMPLES / "*.dcm")])
def test_folders_and_patterns_belong_in_a_list(model: tier.Model, path: Path | str) -> None:
    with pytest.raises(tier.UsageError, match="pass it in a list"):
        model.classify(path)
    assert len(list(model.classify([path], workers=0))) >= 4


def test_numbers_are_those_of_the_command(model: tier.Model, folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    arguments = ["--model", str(folder), "--by", "study", "--views", "all", "--device", "cpu"]
    assert main(["classify", str(EXAMPLES), *arguments, "--output", str(table)]) == 0
    results = list(model.classify([EXAMPLES], by="study", views="all"))
    lines = tmp_path / "scores.jsonl"
    assert main(["classify", str(EXAMPLES), *arguments, "--output", str(lines)]) == 0
    assert [json.loads(line) for line in lines.read_text().splitlines()] == [one.to_dict() for one in results]
    frame = tier.to_dataframe(results)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(frame.columns) == list(rows[0])
    assert frame["score"].tolist() == [float(row["score"]) for row in rows]


def test_embeddings_reproduce_scores(model: tier.Model) -> None:
    one = tier.Finding("effusion", "Effusion", (), ("effusion is present",), ("no effusion",))
    result = model.classify(PA, tier.FindingSet("one", (one,)))
    image, texts = model.encode_image(PA), model.encode_text(["effusion is present", "no effusion"])
    assert image.shape == (12,)
    np.testing.assert_allclose(np.linalg.norm([image, *texts], axis=1), 1, atol=1e-6)
    assert result.scoring == "cosine_difference"
    assert result.scores["effusion"] == pytest.approx(float(image @ (texts[0] - texts[1])), abs=1e-6)
    (embedded,) = model.embed([PA])
    assert embedded.vector is not None
    np.testing.assert_array_equal(embedded.vector, image)


def test_encoding_a_bad_file_raises(model: tier.Model, tmp_path: Path) -> None:
    with pytest.raises(tier.InputError, match="no such file") as raised:
        model.encode_image(tmp_path / "missing.dcm")
    assert raised.value.kind == "missing"
    with pytest.raises(tier.InputError):
        model.similarity(tmp_path / "missing.dcm", "effusion")
    with pytest.raises(tier.UsageError, match="one text"):
        model.encode_text([])


def test_finding_sets_are_checked(model: tier.Model) -> None:
    with pytest.raises(tier.FindingSetError):
        model.classify(PA, "chexpert15")
    with pytest.raises(tier.FindingSetError):
        model.classify(PA, tier.FindingSet("none", ()))


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(tier.CheckpointError, match="no-such-model"):
        tier.load("no-such-model")


def test_an_ensemble_scores_but_has_no_embedding(folder: Path, tmp_path: Path) -> None:
    other = tiny_checkpoint(tmp_path / "other", seed=1)
    both = tier.load([folder, other], device="cpu")
    alone = [tier.load(one, device="cpu").classify(PA) for one in (folder, other)]
    mean = {name: (alone[0].scores[name] + alone[1].scores[name]) / 2 for name in alone[0].scores}
    assert both.classify(PA).scores == pytest.approx(mean)
    with pytest.raises(tier.UsageError, match="load one of its models"):
        both.encode_text("effusion")


def test_progress_is_optional(model: tier.Model, capfd: pytest.CaptureFixture[str]) -> None:
    assert len(list(model.classify([PA], progress=True))) == 1
    assert capfd.readouterr().out == ""


def test_tables_of_results(model: tier.Model, tmp_path: Path) -> None:
    results = list(model.classify([PA, tmp_path / "missing.dcm"]))
    wide = tier.to_dataframe(results, wide=True)
    assert list(wide["path"]) == [str(PA), str(tmp_path / "missing.dcm")]
    assert wide["error_kind"].tolist() == [None, "missing"]
    assert np.isnan(wide[next(iter(results[0].scores))].iloc[1])
    assert len(tier.to_dataframe([])) == 0
