"""`tier adapt` from the command line, and scoring with the copy it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from xrays import write_png

from tier_cli.model.verify import verify

Tier = Callable[..., tuple[int, str, str]]
COUNT = 60


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, model: str) -> Path:
    """Images whose label of one finding can be read from their embeddings, not from the model's score."""
    from tier_cli.pipeline.encode import embeddings
    from tier_cli.pipeline.scoring_job import open_job
    from tier_cli.pipeline.stream import StreamOptions

    folder = tmp_path_factory.mktemp("data")
    paths = [str(write_png(folder / f"{number:02}.png", number)) for number in range(COUNT)]
    job = open_job(model, None, "onnx", "cpu")
    pooled = np.concatenate(list(embeddings(paths, job.members[0], StreamOptions(workers=0))))
    images = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    own = job.vectors.positive[0] - job.vectors.negative[0]
    axes = np.linalg.svd(images - images.mean(axis=0))[2]
    # Of the directions in which images differ, the one that the model's own score says least about.
    axis = axes[:3][np.argmin([abs(np.corrcoef(images @ a, images @ own)[0, 1]) for a in axes[:3]])]
    positive = (images @ axis > np.median(images @ axis)).astype(int)
    rows = ["path,patient,split,atelectasis,edema"]
    rows += [f"{n:02}.png,p{n // 2},{'train' if n < 50 else 'test'},{positive[n]},0" for n in range(COUNT)]
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder / "manifest.csv"


@pytest.fixture(scope="session")
def adapted(tmp_path_factory: pytest.TempPathFactory, data: Path, model: str) -> Path:
    from tier_cli.app import main

    output = tmp_path_factory.mktemp("adapted") / "copy"
    assert main(["adapt", "--data", str(data), "--model", model, "--output", str(output)]) == 0
    return output


def _lines(tier: Tier, *arguments: object) -> list[dict[str, Any]]:
    from importlib.resources import files

    code, out, err = tier("classify", *arguments)
    assert code == 0, err
    schema = json.loads((files("tier_cli.results") / "result.schema.json").read_text(encoding="utf-8"))
    documents = [json.loads(line) for line in out.splitlines()]
    for document in documents:
        Draft202012Validator(schema).validate(document)
    return documents


def test_scores_say_that_they_are_adapted(tier: Tier, data: Path, model: str, adapted: Path) -> None:
    assert verify(adapted) == []
    image = data.parent / "00.png"
    (own,), (new,) = _lines(tier, image, "--model", model), _lines(tier, image, "--model", adapted)
    assert new["scoring"] == "cosine_difference+gda"
    assert len(new["model"]["hashes"]["adaptation"]) == 64
    assert "adaptation" not in own["model"]["hashes"]
    assert new["model"]["hashes"]["weights"] == own["model"]["hashes"]["weights"]
    changed = [a["finding"] for a, b in zip(own["findings"], new["findings"], strict=True) if a != b]
    assert changed == ["atelectasis"]
    (other,) = _lines(tier, image, "--model", adapted, "--findings", "pneumonia")
    assert other["scoring"] == "cosine_difference"
    assert "scores are not adapted: the adaptation does not match the prompts of this run" in other["notes"]


def test_tables_tell_adaptations_apart(
    tier: Tier, data: Path, model: str, adapted: Path, tmp_path: Path
) -> None:
    image = data.parent / "00.png"
    for name, there in ((adapted, True), (model, False)):
        assert tier("classify", image, "--model", name, "--output", tmp_path / "out.csv")[0] == 0
        assert ("model_adaptation" in (tmp_path / "out.csv").read_text()) == there


def test_adaptation_helps_on_unseen_patients(tier: Tier, data: Path, model: str, adapted: Path) -> None:
    def auc(name: str | Path) -> float:
        code, out, _ = tier("eval", "--data", data, "--model", name, "--replicates", "5", "--split", "test")
        assert code == 0
        findings = json.loads(out)["scores"][0]["findings"]
        return float(next(f["auc"]["value"] for f in findings if f["finding"] == "atelectasis"))

    assert auc(adapted) > auc(model) + 0.1


def test_file_records_the_fitting_data_and_is_reproducible(
    tier: Tier, data: Path, model: str, adapted: Path, tmp_path: Path
) -> None:
    code, out, err = tier("adapt", "--data", data, "--model", model, "--output", tmp_path / "again")
    assert code == 0
    document = json.loads(out)
    assert (document["fitted_on"]["images_used"], document["fitted_on"]["patients_used"]) == (50, 25)
    assert document["fitted_on"]["split"] == "train"
    assert document["not_adapted"] == {"edema": "no patient with the finding; gda needs at least 5"}
    assert "left out of the fit" in " ".join(err.split())
    for name in ("adaptation.json", "adaptation.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (adapted / name).read_bytes()
    assert "## Adaptation" in (adapted / "README.md").read_text()
    code, out, _ = tier("model", "info", adapted)
    assert json.loads(out)["adapted"]["findings"] == ["atelectasis"]


def test_calibration_holds_for_the_adaptation_it_was_fitted_with(
    tier: Tier, data: Path, model: str, adapted: Path, tmp_path: Path
) -> None:
    calibrated = tmp_path / "calibrated"
    code, _, err = tier(
        "calibrate", "--data", data, "--split", "train", "--model", adapted, "--output", calibrated
    )
    assert code == 0, err
    image = data.parent / "59.png"
    (result,) = _lines(tier, image, "--model", calibrated)
    assert result["findings"][0]["probability"] is not None
    (calibrated / "adaptation.json").unlink()
    (result,) = _lines(tier, image, "--model", calibrated)
    assert result["findings"][0]["probability"] is None
    assert any("adaptation" in note for note in result["notes"])
    again = tmp_path / "again"
    code, _, err = tier("adapt", "--data", data, "--model", calibrated, "--output", again)
    assert code == 0
    assert "calibration was not copied" in err
    assert not (again / "calibration.json").exists()


def test_adapted_and_plain_models_are_not_averaged(tier: Tier, data: Path, model: str, adapted: Path) -> None:
    code, _, err = tier("classify", data.parent / "00.png", "--model", model, "--model", adapted)
    assert code == 2
    assert "cosine_difference+gda" in err


def test_nothing_is_written_without_a_gain(tier: Tier, data: Path, model: str, tmp_path: Path) -> None:
    documents = _lines(tier, *sorted(data.parent.glob("*.png")), "--model", model)
    scores = [document["findings"][0]["score"] for document in documents]
    known = [f"{n:02}.png,p{n},{int(score > np.median(scores))}" for n, score in enumerate(scores)]
    table = data.parent / "known.csv"
    table.write_text("\n".join(["path,patient,atelectasis", *known]))
    code, out, err = tier("adapt", "--data", table, "--model", model, "--output", tmp_path / "x")
    table.unlink()
    assert code == 0
    assert json.loads(out)["output"] is None
    assert "nothing was written" in err
    assert not list(tmp_path.iterdir())


def test_too_few_labelled_images_are_refused(tier: Tier, data: Path, model: str, tmp_path: Path) -> None:
    table = data.parent / "few.csv"
    table.write_text("\n".join(data.read_text().splitlines()[:5]))
    code, out, err = tier("adapt", "--data", table, "--model", model, "--output", tmp_path / "x")
    table.unlink()
    assert (code, out) == (2, "")
    assert "needs at least 5" in err
    assert not list(tmp_path.iterdir())


def test_unreadable_images_are_counted(tier: Tier, data: Path, model: str, tmp_path: Path) -> None:
    table = data.parent / "absent.csv"
    table.write_text(data.read_text() + "\nabsent.png,q,train,1,0")
    code, out, err = tier("adapt", "--data", table, "--model", model, "--output", tmp_path / "x")
    table.unlink()
    assert code == 3
    assert json.loads(out)["fitted_on"]["images_used"] == 50
    assert "1 of 51 images could not be read" in err
