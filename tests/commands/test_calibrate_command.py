"""`tier calibrate` from the command line, and `tier classify` with the copy it writes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_checkpoint
from xrays import write_dicom, write_png

from tier_cli.model.verify import verify

Tier = Callable[..., tuple[int, str, str]]
COUNT = 64


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, model: str) -> Path:
    """Images of two a patient whose labels follow the scores, so that there is something to fit."""
    from tier_cli.imaging.discover import Source
    from tier_cli.pipeline.scoring_job import open_job
    from tier_cli.pipeline.stream import StreamOptions

    folder = tmp_path_factory.mktemp("data")
    paths = [write_png(folder / f"{number:02}.png", number) for number in range(COUNT)]
    job = open_job(model, None, "onnx", "cpu")
    results = job.classify([Source(str(path)) for path in paths], StreamOptions(workers=0))
    scores = np.array([[f.score for f in result.findings] for result in results])
    ids = job.findings.ids
    noisy = scores + 0.3 * scores.std(axis=0) * np.random.default_rng(0).normal(size=scores.shape)
    labels = (noisy > np.quantile(noisy, 0.7, axis=0)).astype(int)
    labels[:, 1] = 0
    rows = [",".join(["path", "patient", "split", "study", *ids])]
    for number, path in enumerate(paths):
        cells = [path.name, f"p{number // 2}", "valid", f"s{number // 2}", *map(str, labels[number])]
        rows.append(",".join(cells))
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder / "manifest.csv"


def _calibrate(tier: Tier, data: Path, model: str, output: Path, *more: object) -> dict[str, Any]:
    code, out, err = tier("calibrate", "--data", data, "--model", model, "--output", output, *more)
    assert code == 0, err
    content: dict[str, Any] = json.loads(out)
    return content


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_classify_gives_what_was_fitted(
    tier: Tier, data: Path, model: str, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tier_cli.fitting.calibrate.MIN_PATIENTS", {"platt": 10, "isotonic": 10})
    output = tmp_path / "calibrated"
    content = _calibrate(
        tier, data, model, output, "--method", method, "--operating-point", "sensitivity=0.9"
    )
    assert content["operating_point"] == "sensitivity=0.9"
    assert len(content["not_calibrated"]) == 1
    assert verify(output) == []
    assert verify(model) == []
    assert not (Path(model) / "calibration.json").exists()
    code, out, _ = tier("classify", data.parent / "00.png", data.parent / "05.png", "--model", output)
    assert code == 0
    for line in out.splitlines():
        for entry in json.loads(line)["findings"]:
            known = content["findings"].get(entry["finding"])
            assert (entry["probability"] is None) == (known is None)
            if known:
                assert entry["call"] == (entry["score"] >= known["threshold"])
                assert 0 < entry["probability"] < 1
    assert "Calibration" in (output / "README.md").read_text()


def test_same_command_writes_the_same_file_and_prints_a_table(
    tier: Tier, data: Path, model: str, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        code, _, err = tier("calibrate", "--data", data, "--model", model, "--output", tmp_path / name)
        assert code == 0
    files = [(tmp_path / name / "calibration.json").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]
    assert str(tmp_path).encode() not in files[0]
    assert "cross-validated by patient" in err
    assert "rarer" in err
    assert max(map(len, err.splitlines()[:-1])) <= 80


def test_calibration_by_study_is_for_studies(tier: Tier, data: Path, model: str, tmp_path: Path) -> None:
    content = _calibrate(tier, data, model, tmp_path / "by-study", "--unit", "study")
    assert content["key"]["unit"] == "study"
    assert content["fitted_on"]["studies_used"] == COUNT // 2
    image = write_dicom(tmp_path / "a.dcm")
    for by, there in (("study", True), ("image", False)):
        _, out, _ = tier("classify", image, "--model", tmp_path / "by-study", "--by", by)
        known = [entry["probability"] for entry in json.loads(out)["findings"]]
        assert any(known) == there


def test_ensemble_is_calibrated_as_an_ensemble(tier: Tier, data: Path, model: str, tmp_path: Path) -> None:
    other = tiny_checkpoint(tmp_path / "other", seed=1)
    output = tmp_path / "both"
    content = _calibrate(tier, data, model, output, "--model", other)
    assert [member["name"] for member in content["model"]["members"]] == ["tiny", "other"]
    image = data.parent / "00.png"
    _, out, _ = tier("classify", image, "--model", other, "--model", output)
    assert any(entry["probability"] for entry in json.loads(out)["findings"])
    _, out, _ = tier("classify", image, "--model", output)
    assert not any(entry["probability"] for entry in json.loads(out)["findings"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--operating-point", "best"), "is not a rule"),
        (("--split", "test"), "no image is in split"),
        (("--findings", "hernia"), "no column is a finding"),
        (("--exclude", "split"), "COLUMN=VALUE"),
    ],
)
def test_impossible_combinations_are_refused(
    tier: Tier, data: Path, model: str, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    output = tmp_path / "out"
    code, _, err = tier("calibrate", "--data", data, "--model", model, "--output", output, *arguments)
    assert code == 2
    assert message in err
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_not_overwritten(tier: Tier, data: Path, model: str, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    code, _, err = tier("calibrate", "--data", data, "--model", model, "--output", tmp_path)
    assert (code, (tmp_path / "mine").read_text()) == (2, "mine")
    assert "already exists" in err


def test_missing_or_too_few_data_are_refused(tier: Tier, data: Path, model: str, tmp_path: Path) -> None:
    code, _, err = tier("calibrate", "--model", model, "--output", tmp_path / "x")
    assert (code, "--data" in err) == (2, True)
    few = data.parent / "few.csv"
    few.write_text("\n".join(data.read_text().splitlines()[:9]))
    code, _, err = tier("calibrate", "--data", few, "--model", model, "--output", tmp_path / "x")
    few.unlink()
    assert (code, "no finding can be calibrated" in err) == (2, True)
    assert not (tmp_path / "x").exists()


def test_images_without_scores_are_counted(tier: Tier, data: Path, model: str, tmp_path: Path) -> None:
    table = data.parent / "absent.csv"
    table.write_text(data.read_text() + "\nabsent.png,q,valid,q,1,0,1,1,1")
    code, out, _ = tier("calibrate", "--data", table, "--model", model, "--output", tmp_path / "x")
    table.unlink()
    assert code == 3
    assert json.loads(out)["fitted_on"]["images_without_scores"] == 1


def test_saved_scores_are_used_instead_of_scoring(tier: Tier, data: Path, model: str, tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    assert tier("classify", data.parent, "--model", model, "--output", table)[0] == 0
    one = _calibrate(tier, data, model, tmp_path / "one")
    two = _calibrate(tier, data, model, tmp_path / "two", "--scores", table)
    # Tables hold six digits.
    for name, entry in one["findings"].items():
        assert two["findings"][name]["threshold"] == pytest.approx(entry["threshold"], abs=2e-6)
        assert two["findings"][name]["a"] == pytest.approx(entry["a"], rel=1e-3)
    other = tiny_checkpoint(tmp_path / "other", seed=1)
    output = tmp_path / "three"
    code, _, err = tier("calibrate", "--data", data, "--model", other, "--scores", table, "--output", output)
    assert (code, "column model_weights differs" in err) == (2, True)
    table.write_text("path,edema\n00.png,0.5\n")
    code, _, err = tier("calibrate", "--data", data, "--model", model, "--scores", table, "--output", output)
    assert (code, "no column model_weights" in err) == (2, True)
    assert not output.exists()


def test_classify_needs_no_scikit_learn_for_a_calibration(
    tier: Tier, data: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tier_cli.fitting.calibrate.MIN_PATIENTS", {"isotonic": 10})
    _calibrate(tier, data, model, tmp_path / "steps", "--method", "isotonic")
    code = (
        "import sys; from tier_cli.app import main; main(sys.argv[1:]); "
        "print({'sklearn', 'scipy', 'pandas', 'torch'} & set(sys.modules), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "classify", str(data.parent / "00.png")]
    command += ["--model", str(tmp_path / "steps")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert any(entry["probability"] for entry in json.loads(done.stdout)["findings"])
    assert done.stderr.splitlines()[-1] == "set()"
