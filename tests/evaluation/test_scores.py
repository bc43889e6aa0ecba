"""Scores made elsewhere, in various layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.errors import ManifestError
from tier_cli.evaluation.scores import collect, read_scores
from tier_cli.findings.load import load_findings
from tier_cli.results.record import Failure, FindingScore, ModelStamp, Result

FINDINGS = load_findings("pneumothorax,pleural effusion")
NAN = float("nan")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    path = tmp_path / "manifest.csv"
    path.write_text(
        "path,instance,accession,pneumothorax\nimages/a.png,1.1,A,1\nimages/b.png,1.2,B,0\nimages/c.png,1.3,C,0\n"
    )
    return read_manifest(path)


def _scores(folder: Path, text: str) -> Path:
    path = folder / "scores.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "path,pneumothorax,Pleural_Effusion\nimages/b.png,0.2,0.4\nimages/a.png,0.1,0.3\nother.png,9,9\n",
        "path,prob_Pneumothorax,prob_Effusion\nb.png,0.2,0.4\na.png,0.1,0.3\n",
        "instance,score_pneumothorax,score_effusion\n1.1,0.1,0.3\n1.2,0.2,0.4\n",
        "path,finding,score\nimages/a.png,effusion,0.3\nimages/b.png,pleural_effusion,0.4\n"
        "images/a.png,pneumothorax,0.1\nimages/b.png,pneumothorax,0.2\nimages/c.png,,\nimages/a.png,fracture,7\n",
    ],
)
def test_wide_and_tidy_tables_are_matched_to_images(tmp_path: Path, manifest: Manifest, text: str) -> None:
    scores = read_scores(_scores(tmp_path, text), manifest, FINDINGS)
    effusion, pneumothorax = scores.of(("pleural_effusion", "pneumothorax")).T
    np.testing.assert_array_equal(effusion, [0.3, 0.4, NAN])
    np.testing.assert_array_equal(pneumothorax, [0.1, 0.2, NAN])
    assert [(Path(image.path).name, image.kind) for image in scores.unscored] == [("c.png", "no_score")]


def test_paths_may_start_from_the_working_directory(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path / "images")
    scores = read_scores(_scores(tmp_path, "path,pneumothorax\n./c.png,0.5\n"), manifest, FINDINGS)
    np.testing.assert_array_equal(scores.of(("pneumothorax",))[:, 0], [NAN, NAN, 0.5])
    assert scores.notes == ()


def test_joining_by_bare_names_is_reported(tmp_path: Path, manifest: Manifest) -> None:
    scores = read_scores(_scores(tmp_path, "path,pneumothorax\n/elsewhere/c.png,0.5\n"), manifest, FINDINGS)
    assert "by file name" in scores.notes[0]


def test_bare_names_are_not_joined_where_they_are_ambiguous(tmp_path: Path, manifest: Manifest) -> None:
    text = "path,pneumothorax\n/one/a.png,0.5\n/two/a.png,0.6\n"
    with pytest.raises(ManifestError, match="no row of column 'path'"):
        read_scores(_scores(tmp_path, text), manifest, FINDINGS)


def test_any_shared_column_can_join(tmp_path: Path, manifest: Manifest) -> None:
    path = _scores(tmp_path, "accession,pneumothorax\nB,0.5\n")
    scores = read_scores(path, manifest, FINDINGS, join="accession")
    np.testing.assert_array_equal(scores.of(("pneumothorax",))[:, 0], [NAN, 0.5, NAN])
    with pytest.raises(ManifestError, match="--join"):
        read_scores(path, manifest, FINDINGS)


def test_parquet(tmp_path: Path, manifest: Manifest) -> None:
    import pandas as pd

    path = tmp_path / "scores.parquet"
    pd.DataFrame({"path": ["images/a.png"], "pneumothorax": [0.25], "effusion": [None]}).to_parquet(path)
    scores = read_scores(path, manifest, FINDINGS)
    np.testing.assert_array_equal(scores.of(("pneumothorax",))[:, 0], [0.25, NAN, NAN])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,pneumothorax\na.png,high\n", "'high' is not a score"),
        ("path,pneumothorax\na.png,inf\n", "'inf' is not a score"),
        ("path,pneumothorax\na.png,1\na.png,2\n", "has two rows"),
        ("path,finding,score\na.png,effusion,1\na.png,effusion,1\n", "two scores for pleural_effusion"),
        ("path,finding,score\na.png,fracture,1\n", "no row belongs to a finding"),
        ("path,effusion,prob_effusion\na.png,1,2\n", "both name the finding pleural_effusion"),
        ("path,fracture\na.png,1\n", "no column is a finding"),
        ("path,pneumothorax\nz.png,1\n", "no row of column 'path' is an image"),
    ],
)
def test_faults_are_reported(tmp_path: Path, manifest: Manifest, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_scores(_scores(tmp_path, text), manifest, FINDINGS)


def test_results_become_scores_and_errors_stay_errors() -> None:
    stamp = ModelStamp("m", "w", "p", "f")
    first, second = FINDINGS.ids
    results = [
        Result(("a",), stamp, "s", findings=(FindingScore(second, 0.2), FindingScore(first, 0.1))),
        Result(("b",), stamp, "s", error=Failure("missing", "no such file")),
    ]
    scores = collect("m", results, FINDINGS)
    np.testing.assert_array_equal(scores.values, [[0.1, 0.2], [NAN, NAN]])
    assert scores.unscored[0].message == "no such file"
