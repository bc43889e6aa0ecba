"""`evaluate()` from Python: scores in any form, without the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tier_cli.datasets.manifest import read_manifest
from tier_cli.errors import UsageError
from tier_cli.evaluation.context import Evaluation
from tier_cli.evaluation.report import Report
from tier_cli.evaluation.run import evaluate
from tier_cli.evaluation.sections.options import SectionOptions
from tier_cli.evaluation.settings import EvaluationSettings

SETTINGS = EvaluationSettings(findings="pneumothorax,hernia", replicates=20, by=("sex",))


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (40, 2))
    paths = [f"{n}.png" for n in range(40)]
    columns = {"path": paths, "pneumothorax": labels[:, 0], "hernia": labels[:, 1], "sex": ["F", "M"] * 20}
    return pd.DataFrame(columns)


@pytest.fixture
def manifest(tmp_path: Path, table: pd.DataFrame) -> Path:
    table.to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path / "manifest.csv"


@pytest.fixture
def scores(table: pd.DataFrame) -> pd.DataFrame:
    values = np.random.default_rng(1).normal(size=(40, 2)) + table[["pneumothorax", "hernia"]].to_numpy()
    return pd.DataFrame({"path": table["path"], "pneumothorax": values[:, 0], "hernia": values[:, 1]})


def test_a_frame_a_mapping_and_a_file_give_the_same_report(
    manifest: Path, table: pd.DataFrame, scores: pd.DataFrame, tmp_path: Path
) -> None:
    scores.to_csv(tmp_path / "scores.csv", index=False)
    columns = {name: scores[name].tolist() for name in scores.columns}
    forms = (scores, columns, str(tmp_path / "scores.csv"))
    frame, mapping, file = (evaluate(form, manifest, SETTINGS) for form in forms)
    assert frame.to_csv() == mapping.to_csv()
    ours, theirs = (report.measured[0] for report in (frame, file))
    assert [row.metrics for row in ours.rows] == [row.metrics for row in theirs.rows]
    expected = roc_auc_score(table["hernia"], scores["hernia"])
    assert frame.measured[0].rows[1].metrics["auc"].value == pytest.approx(expected, abs=1e-9)
    assert {group.value for group in frame.groups} == {"F", "M"}
    assert frame.complete


def test_a_manifest_that_is_already_read_is_recorded_as_its_file(
    manifest: Path, scores: pd.DataFrame
) -> None:
    one, two = (evaluate(scores, form, SETTINGS) for form in (manifest, read_manifest(manifest)))
    assert one.to_dict() == two.to_dict()
    assert two.origin.files.keys() == {str(manifest)}
    assert two.protocol.data == str(manifest)


def test_two_tables_are_compared_under_different_names(manifest: Path, scores: pd.DataFrame) -> None:
    other = scores.assign(hernia=-scores["hernia"])
    report = evaluate(scores, manifest, SETTINGS, compare=[other])
    assert len({one.name for one in report.measured}) == 2
    assert report.differences[0].rows[1].metrics["auc"].value > 0


def test_an_observer_sees_the_table_before_the_sections(manifest: Path, scores: pd.DataFrame) -> None:
    seen: list[tuple[str, list[str]]] = []

    def observe(report: Report, evaluation: Evaluation, section: str) -> None:
        seen.append((section, list(report.sections)))

    settings = EvaluationSettings(
        findings="pneumothorax,hernia", replicates=5, sections=SectionOptions(exclusive=True)
    )
    report = evaluate(scores, manifest, settings, observe=observe)
    assert seen == [("", []), ("readers", []), ("exclusive", ["exclusive"])]
    assert list(report.sections) == ["exclusive"]
    json.dumps(report.to_dict(), allow_nan=False)


def test_contradictory_settings_are_refused(manifest: Path, scores: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="need a finding set"):
        evaluate(scores, manifest)
    settings = EvaluationSettings(findings="hernia", sections=SectionOptions(corrupt=("all",)))
    with pytest.raises(UsageError, match="--corrupt: needs a model"):
        evaluate(scores, manifest, settings)
