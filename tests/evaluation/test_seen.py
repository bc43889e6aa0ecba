"""Rows that a model was trained on are found, counted aloud and left out on request."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from downloads import DOWNLOADS
from region_layouts import nih4_expert, nih14, nih14_expert
from tiny import tiny_checkpoint

from tier_cli.app import main
from tier_cli.datasets.opening import read_dataset
from tier_cli.evaluation.trained_on import seen_by
from tier_cli.model.checkpoint import open_checkpoint, write_checksums
from tier_cli.model.trained_on import TRAINED_ON, describe_run, read_trained_on, write_trained_on
from tier_cli.model.verify import verify

Tier = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def tier(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tier:
    """Run a command; gives exit code, the JSON and stderr in one line."""
    monkeypatch.setenv("TIER_CACHE_DIR", str(tmp_path / "cache"))

    def run(*arguments: object) -> tuple[int, Any, str]:
        code = main([*map(str, arguments), "--workers", "0", "--device", "cpu"])
        out, err = capfd.readouterr()
        return code, json.loads(out) if out else {}, " ".join(err.split())

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A checkpoint that was trained on an image of NIH's patient 2 and one of patient 1."""
    folder = tiny_checkpoint(tmp_path / "models" / "seen")
    keys = [{"00000002_000"}, {"00000001_001"}]
    write_trained_on(folder, [describe_run("seen", ["nih14"], "salt", keys, [{"nih14:2"}, {"nih14:1"}])])
    write_checksums(folder)
    return folder


@pytest.mark.parametrize(
    ("build", "dataset", "split", "images", "patients"),
    [
        (nih14, "nih14", "train", 1, 1),
        (nih14, "nih14", "test", 1, 0),
        (nih4_expert, "nih4-expert", "valid", 1, 1),
        (nih4_expert, "nih4-expert", "test", 1, 0),
        (nih14_expert, "nih14-expert", "test", 1, 1),
    ],
)
def test_every_data_set_of_the_same_pictures_is_matched_by_name_and_patient(
    build: Callable[[Path], Path],
    dataset: str,
    split: str,
    images: int,
    patients: int,
    model: Path,
    tmp_path: Path,
) -> None:
    """Otherwise `tier-small` is scored on its own training images without a word."""
    manifest = read_dataset(dataset, build(tmp_path / "data"), split)
    (seen,), rows = seen_by([open_checkpoint(model)], manifest, dataset)
    assert (seen.images, seen.patients, int(rows.sum())) == (images, patients, images + patients)
    assert not seen.possible


@pytest.mark.parametrize("dataset", ["rsna", "siim", "chestx-det10", "covid-qu-ex"])
def test_the_same_pictures_under_other_names_are_said_to_be_possible(
    dataset: str, model: Path, tmp_path: Path
) -> None:
    manifest = read_dataset(dataset, DOWNLOADS[dataset](tmp_path / "data"), None)
    (seen,), _ = seen_by([open_checkpoint(model)], manifest, dataset)
    assert seen.possible == ("NIH ChestX-ray14",)
    assert "cannot be compared" in seen.text


def test_the_bundled_checkpoint_knows_what_it_was_trained_on(tmp_path: Path) -> None:
    """1,414 patients of ChestX-ray14, each by manifest and by file name, and 2,500 images of RSNA."""
    runs = read_trained_on(Path(__file__).parents[2] / "models/tier-small")
    assert [run.run for run in runs] == ["soft-0", "boxes-0"]
    for run in runs:
        counted = (run.sources, run.count, len(run.images), len(run.patients))
        assert counted == (("nih14", "rsna"), 5029, 5029, 2828)
        assert run.has_image(["00000211_000"])
        assert run.has_patient(["nih14:211"])
        assert not run.has_image(["00000075_000"]), "a test image"
        assert not run.has_image(["00030805_000"])
    manifest = read_dataset("nih14", nih14(tmp_path), "train")
    (seen,), _ = seen_by([open_checkpoint("tier-small")], manifest, "nih14")
    assert seen.possible == ("RSNA Pneumonia",)


def test_it_is_told_in_the_terminal_in_json_and_on_the_page(model: Path, tier: Tier, tmp_path: Path) -> None:
    root = nih14(tmp_path / "data")
    common = ["eval", "--dataset", "nih14", "--root", root, "--split", "all", "--model", model]
    common += ["--replicates", 5, "--report", tmp_path / "page.html", "--no-report-images"]
    _, document, shown = tier(*common)
    expected = {
        "model": "seen",
        "rows": 3,
        "images": 2,
        "images_of_trained_patients": 1,
        "may_share_images_with": [],
        "left_out": False,
    }
    assert document["trained_on"] == [expected]
    sentence = "seen was trained on 2 of these 3 images, and on other images of the patients of 1 more"
    assert sentence in shown
    assert "--exclude-trained" in shown
    assert sentence in " ".join((tmp_path / "page.html").read_text().split())


def test_rows_trained_on_are_left_out_on_request(model: Path, tier: Tier, tmp_path: Path) -> None:
    root = nih14(tmp_path / "data")
    keys = [{"00000002_000"}]
    write_trained_on(model, [describe_run("seen", ["nih14"], "salt", keys, [{"nih14:2"}])])
    write_checksums(model)
    common = ["eval", "--dataset", "nih14", "--root", root, "--split", "all", "--model", model]
    _, document, shown = tier(*common, "--replicates", 5, "--exclude-trained")
    assert document["images"] == 2
    assert document["trained_on"][0]["left_out"] is True
    assert document["excluded"] == ["--exclude-trained"]
    assert any("left out (--exclude-trained): 1 of 3" in note for note in document["notes"])
    code, _, shown = tier(*common[:-4], "--split", "test", "--model", model, "--exclude-trained")
    assert code == 2
    assert "no image is left" in shown


@pytest.mark.parametrize("command", ["calibrate", "adapt"])
def test_fits_tell_it_too(command: str, model: Path, tier: Tier, tmp_path: Path) -> None:
    """A calibration on training images gives probabilities that are far too sure."""
    root = nih14(tmp_path / "data")
    arguments = [command, "--dataset", "nih14", "--root", root, "--split", "test", "--model", model]
    _, _, shown = tier(*arguments, "--output", tmp_path / "fit")
    assert "seen was trained on 1 of these 1 images" in shown
    code, _, shown = tier(*arguments, "--output", tmp_path / "fit", "--exclude-trained")
    assert code == 2
    assert "no image is left" in shown


def test_a_run_lists_its_images_without_their_names(tmp_path: Path, tier: Tier) -> None:
    """The next evaluation knows the images and patients; nobody reads them in the folder."""
    folder, start = tmp_path / "data", tiny_checkpoint(tmp_path / "start")
    write_trained_on(start, [describe_run("start", ["chexpert"], "old", [{"an image"}], [{"a patient"}])])
    write_checksums(start)
    assert main(["data", "phantom", str(folder), "--count", "48", "--size", "64", "--seed", "1"]) == 0
    output = tmp_path / "model"
    options = ["--epochs", 1, "--batch-size", 8, "--freeze-text-layers", 0, "--keep-epochs", 1]
    options += ["--valid-share", 0.4]
    data = ["--data", folder / "manifest.csv"]
    code, _, shown = tier("train", *data, "--init", start, "--output", output, *options)
    assert code == 0, shown
    for made in (output, output / "epochs" / "epoch-01"):
        assert verify(made) == []
        assert [run.run for run in read_trained_on(made)] == ["start", "model"]
    assert "synthetic" not in (output / TRAINED_ON).read_text()
    assert json.loads((output / "training.json").read_text())["data"]["sources"] == []
    evaluate = ["eval", *data, "--model", output, "--replicates", 5]
    _, document, _ = tier(*evaluate, "--split", "train")
    seen = document["trained_on"][0]
    assert seen["images"] == seen["rows"] > 0
    assert tier(*evaluate, "--split", "test")[1]["trained_on"] == []
