"""`tier eval` with several data sets: one table, scores kept for the next run, failures that stay alone."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layouts import chexpert
from tiny import tiny_checkpoint

from tier_cli.datasets.manifest import read_manifest
from tier_cli.evaluation.candidates import score
from tier_cli.evaluation.scores import Scores
from tier_cli.phantom.image_files import write_png
from tier_cli.phantom.render import make_phantom

Tier = Callable[..., tuple[int, str, str]]
OPTIONS = ("--replicates", "20", "--workers", "0", "--device", "cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    return [str(tiny_checkpoint(folder / name, seed)) for name, seed in (("one", 0), ("two", 1))]


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two manifests of phantoms, of 8 and of 6 images."""
    found = []
    for name, count in (("a", 8), ("b", 6)):
        folder = tmp_path_factory.mktemp(name)
        rows = ["path,patient,Pleural Effusion"]
        for number in range(count):
            sick = number % 2
            phantom = make_phantom(count * 10 + number, ["effusion"] if sick else [], (72, 72))
            write_png(folder / f"{number}.png", phantom)
            rows.append(f"{number}.png,p{number},{sick}")
        (folder / f"{name}.csv").write_text("\n".join(rows))
        found.append(str(folder / f"{name}.csv"))
    return found


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The model and the number of images of each scoring."""
    found: list[tuple[str, int]] = []
    plain = score

    def counted(job, manifest, *rest) -> Scores:
        found.append((job.stamp.name, len(manifest)))
        return plain(job, manifest, *rest)

    monkeypatch.setattr("tier_cli.evaluation.score_cache.score", counted)
    return found


def _sets(manifests: list[str]) -> list[str]:
    return [part for one in manifests for part in ("--dataset", f"csv={one}")]


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_each_cell_is_what_an_evaluation_of_its_own_gives(
    tier: Tier, models: list[str], manifests: list[str]
) -> None:
    code, out, err = tier("eval", *_sets(manifests), "--model", models[0], "--model", models[1], *OPTIONS)
    assert code == 0, err
    document = json.loads(out)
    assert (document["datasets"], document["models"]) == (manifests, models)
    assert document["complete"]
    assert len(document["cells"]) == 4
    for cell in document["cells"]:
        _, alone, _ = tier("eval", "--data", cell["dataset"], "--model", cell["model"], *OPTIONS)
        expected = json.loads(alone)["scores"][0]
        assert cell["macro"] == expected["macro"]
        assert cell["findings"] == expected["findings"]
        assert (cell["n"], cell["patients"]) == (expected["n"], expected["patients"])


def test_a_second_run_and_an_added_model_compute_only_what_is_new(
    tier: Tier, models: list[str], manifests: list[str], scored: list[tuple[str, int]]
) -> None:
    command = ["eval", *_sets(manifests), "--model", models[0], *OPTIONS]
    code, first, _ = tier(*command)
    assert code == 0
    assert scored == [("one", 8), ("one", 6)]
    scored.clear()
    _, second, _ = tier(*command)
    assert scored == []
    assert json.loads(first)["cells"] == json.loads(second)["cells"]
    _, _, _ = tier(*command, "--model", models[1])
    assert scored == [("two", 8), ("two", 6)]


def test_a_changed_image_is_scored_again(
    tier: Tier, models: list[str], manifests: list[str], scored: list[tuple[str, int]]
) -> None:
    command = ["eval", *_sets(manifests), "--model", models[0], *OPTIONS]
    tier(*command)
    scored.clear()
    image = Path(manifests[0]).parent / "3.png"
    found = image.stat()
    os.utime(image, ns=(found.st_atime_ns, found.st_mtime_ns + 1_000_000_000))
    tier(*command)
    assert scored == [("one", 1)]
    scored.clear()
    # Other prompts are other scores.
    tier(*command, "--findings", "pleural effusion")
    assert scored == [("one", 8), ("one", 6)]


def test_the_cache_names_no_images_and_survives_damage(
    tier: Tier, models: list[str], manifests: list[str], own_cache: Path, scored: list[tuple[str, int]]
) -> None:
    command = ["eval", *_sets(manifests), "--model", models[0], *OPTIONS]
    tier(*command)
    files = sorted((own_cache / "scores").rglob("*.npz"))
    assert len(files) == 2
    assert not any(b".png" in file.read_bytes() for file in files)
    with np.load(files[0], allow_pickle=False) as content:
        assert set(content) == {"images", "scores"}
    for file in files:
        file.write_bytes(b"PK\x03\x04 damaged")
    scored.clear()
    assert tier(*command)[0] == 0
    assert scored == [("one", 8), ("one", 6)]


def test_a_set_that_fails_does_not_lose_the_others(
    tier: Tier, models: list[str], manifests: list[str], tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    missing = tmp_path / "missing"
    code, _, err = tier(
        *("eval", "--dataset", f"rsna={missing}", "--dataset", f"csv={manifests[0]}"),
        *("--model", models[0], "--output", table, *OPTIONS),
    )
    assert code == 3
    failed, good = _rows(table.read_text())
    assert (failed["dataset"], failed["auc"]) == ("rsna", "")
    assert "no such folder" in failed["reason"]
    assert (good["n"], good["reason"], good["unscored"]) == ("8", "", "0")
    assert 0 <= float(good["auc_low"]) <= float(good["auc"]) <= float(good["auc_high"]) <= 1
    assert "rsna" in err
    assert "no such folder" in err


def test_public_data_sets_keep_their_own_findings_and_units(
    tier: Tier, models: list[str], manifests: list[str], tmp_path: Path
) -> None:
    """CheXpert is measured on its 14 findings, beside a manifest with the model's own set."""
    root = chexpert(tmp_path)
    code, out, err = tier(
        *("eval", "--dataset", f"chexpert={root}", "--dataset", f"csv={manifests[0]}", "--split", "all"),
        *("--model", models[0], *OPTIONS),
    )
    assert code in (0, 3), err
    public, own = json.loads(out)["cells"]
    _, alone, _ = tier(
        "eval", "--dataset", "chexpert", "--root", root, "--split", "all", "--model", models[0], *OPTIONS
    )
    expected = json.loads(alone)
    assert public["finding_set"] == expected["finding_set"]
    assert public["unit"] == expected["unit"]
    assert public["findings"] == expected["scores"][0]["findings"]
    assert own["finding_set"] != public["finding_set"]


def test_images_without_scores_count_in_their_cell(
    tier: Tier, models: list[str], manifests: list[str], tmp_path: Path
) -> None:
    rows = [line.split(",") for line in Path(manifests[1]).read_text().splitlines()]
    lines = [",".join(rows[0])]
    lines += [",".join([str(Path(manifests[1]).parent / row[0]), *row[1:]]) for row in rows[1:]]
    (tmp_path / "c.csv").write_text("\n".join([*lines, "gone.png,p9,1"]))
    assert len(read_manifest(tmp_path / "c.csv", None)) == 7
    code, out, err = tier(
        "eval", *_sets([manifests[0], str(tmp_path / "c.csv")]), "--model", models[0], *OPTIONS
    )
    assert code == 3
    first, second = json.loads(out)["cells"]
    assert (len(first["unscored"]), len(second["unscored"]), second["n"]) == (0, 1, 6)
    assert "1 images have no scores" in err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--root", "x"], "--root: cannot be combined with several --dataset"),
        (["--by", "sex"], "--by: cannot be combined"),
        (["--select-on", "valid"], "--select-on: cannot be combined"),
        (["--compare", "a", "b"], "--compare: cannot be combined"),
        (["--grounding"], "cannot be combined with several"),
        (["--dataset", "csv"], "'csv' does not say where the data are"),
        (["--dataset", "rsna="], "'rsna=' does not say where the data are"),
        (["--dataset", "rnsa=x"], "rsna"),
        (["--dataset", "csv=a.csv"], "'a.csv' is given twice"),
    ],
)
def test_what_belongs_to_one_data_set_is_refused(tier: Tier, more: list[str], message: str) -> None:
    code, _, err = tier("eval", "--dataset", "csv=a.csv", "--dataset", "csv=b.csv", *more)
    assert code == 2
    assert message in err


def test_one_data_set_may_name_its_place_too(tier: Tier, models: list[str], manifests: list[str]) -> None:
    """Several models of one data set remain the mean of their scores."""
    command = ["--model", models[0], "--model", models[1], *OPTIONS]
    code, out, _ = tier("eval", "--dataset", f"csv={manifests[0]}", *command)
    assert code == 0
    _, same, _ = tier("eval", "--data", manifests[0], *command)
    assert json.loads(out)["scores"] == json.loads(same)["scores"]
    assert len(json.loads(out)["scores"]) == 1
    code, _, err = tier("eval", "--dataset", "rsna=x", "--root", "y")
    assert (code, "--root: is also given with --dataset" in err) == (2, True)


def test_an_unknown_model_is_refused_before_anything_is_scored(
    tier: Tier, models: list[str], manifests: list[str], scored: list[tuple[str, int]]
) -> None:
    code, _, err = tier("eval", *_sets(manifests), "--model", models[0], "--model", "no-such-model", *OPTIONS)
    assert (code, scored) == (2, [])
    assert "no-such-model" in err
