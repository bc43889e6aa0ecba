"""`tier eval --dataset`: from the folder of a download to numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from layouts import chexlocalize, chexpert, chexpert_5x200, chexpert_reads, mimic, openi_tables, padchest
from tiny import tiny_checkpoint

from tier_cli.app import main

Eval = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small checkpoint with random weights."""
    return str(tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def evaluate(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Eval:
    """Run the command on a data set under TIER_DATA_ROOT; gives exit code, the JSON and stderr."""
    monkeypatch.setenv("TIER_DATA_ROOT", str(tmp_path))
    monkeypatch.setenv("TIER_CACHE_DIR", str(tmp_path / "cache"))

    def run(dataset: str, *more: str) -> tuple[int, dict[str, Any], str]:
        fixed = ("--model", model, "--replicates", "5", "--workers", "0", "--device", "cpu")
        code = main(["eval", "--dataset", dataset, *fixed, *more])
        out, err = capfd.readouterr()
        return code, json.loads(out) if out else {}, err

    return run


def test_the_split_the_set_and_the_data_are_named(evaluate: Eval, tmp_path: Path) -> None:
    chexpert(tmp_path)
    code, document, shown = evaluate("chexpert")
    assert code == 0
    assert (document["dataset"], document["split"], document["images"]) == ("chexpert", "valid", 2)
    assert document["finding_set"]["name"] == "chexpert14"
    assert "chexpert, split valid, 2 images" in " ".join(shown.split())
    _, five, _ = evaluate("chexpert", "--findings", "chexpert5", "--split", "train", "--views", "all")
    assert (five["finding_set"]["name"], five["split"], five["images"]) == ("chexpert5", "train", 4)


def test_a_missing_image_is_listed_and_stands_in_no_number(evaluate: Eval, tmp_path: Path) -> None:
    chexpert(tmp_path)
    (tmp_path / "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg").unlink()
    code, document, _ = evaluate("chexpert")
    assert code == 3
    assert "patient64541" in document["unscored"][0]["path"]
    assert document["scores"][0]["findings"][0]["n"] == 1


def test_radiologists_and_single_findings_get_their_sections(evaluate: Eval, tmp_path: Path) -> None:
    root = chexpert(tmp_path / "chexpert")
    chexlocalize(tmp_path / "chexpert")
    chexpert_reads(tmp_path / "chexpert", truth=False)
    code, document, shown = evaluate("chexpert")
    assert (code, document["split"]) == (0, "test")
    assert "readers" in document["sections"]
    assert "bc4" in shown
    chexpert_5x200(root)
    code, document, _ = evaluate("chexpert-5x200", "--root", str(root))
    assert (code, document["finding_set"]["name"]) == (0, "chexpert5")
    assert "accuracy" in json.dumps(document["sections"])


@pytest.mark.parametrize(
    ("name", "build", "unit", "images"),
    [
        ("mimic-cxr", mimic, "study", 1),
        ("padchest", padchest, "image", 3),
        ("openi", openi_tables, "image", 2),
    ],
)
def test_each_data_set_has_its_unit_and_its_labels(
    evaluate: Eval, tmp_path: Path, name: str, build: Callable[[Path], Path], unit: str, images: int
) -> None:
    build(tmp_path / name)
    code, document, _ = evaluate(name)
    assert (code, document["unit"]) == (0, unit)
    assert max(row["n"] for row in document["scores"][0]["findings"]) == images


def test_a_wrong_root_ends_with_one_line(evaluate: Eval, tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    code, document, shown = evaluate("mimic-cxr")
    assert (code, document) == (2, {})
    assert "looked for mimic-cxr-2.0.0-split.csv.gz, found holiday/" in " ".join(shown.split())
