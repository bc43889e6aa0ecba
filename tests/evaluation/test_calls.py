"""Thresholds from another split or from the model's own calibration, and probabilities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tier_cli.datasets.manifest import read_manifest
from tier_cli.errors import ManifestError, UsageError
from tier_cli.evaluation.calls import adaptation_notes
from tier_cli.evaluation.fitted_on import Images
from tier_cli.evaluation.scores import Scores
from tier_cli.evaluation.selection import Selection, select
from tier_cli.evaluation.thresholds import check_apart, check_rule, select_thresholds, threshold_notes
from tier_cli.evaluation.truth import Labelled, Truth, labelled
from tier_cli.evaluation.unit_scores import NO_CALLS, NO_PROBABILITIES, Note, SelectionSplit, combine_scores
from tier_cli.findings.load import load_findings
from tier_cli.scoring.operating_points import choose

FINDINGS = load_findings("pneumothorax,hernia")
NAN = float("nan")


def _rows(folder: Path, text: str, split: str) -> Selection:
    (folder / "manifest.csv").write_text("path,patient,split,pneumothorax,hernia\n" + text)
    return select(read_manifest(folder / "manifest.csv"), split, [], True)


TEXT = "".join(
    f"{n}.png,{'vt'[n % 2]}{n},{['valid', 'test'][n % 2]},{int(n % 3 == 0)},{int(n == 0)}\n"
    for n in range(40)
)


def _truth(folder: Path, split: str) -> tuple[Selection, Truth]:
    return labelled(_rows(folder, TEXT, split), FINDINGS, "ignore")


def test_the_evaluated_split_cannot_select_thresholds(tmp_path: Path) -> None:
    test = _rows(tmp_path, TEXT, "test")
    with pytest.raises(UsageError, match="on the evaluated split"):
        check_apart(test, _rows(tmp_path, TEXT, "TEST"))
    check_apart(test, _rows(tmp_path, TEXT, "valid"))


def test_shared_patients_are_refused_and_not_named(tmp_path: Path) -> None:
    text = "a.png,Jones,valid,1,0\nb.png,Jones,test,0,0\nc.png,Smith,test,0,1\n"
    with pytest.raises(ManifestError, match="1 of 2 images of split test") as caught:
        check_apart(_rows(tmp_path, text, "test"), _rows(tmp_path, text, "valid"))
    assert "Jones" not in str(caught.value)
    with pytest.raises(ManifestError, match="belong to patients who are also in all"):
        check_apart(_rows(tmp_path, text, "test"), _rows(tmp_path, text, "all"))


def test_unknown_rules_name_their_option() -> None:
    with pytest.raises(UsageError, match="--operating-point"):
        check_rule("best")
    assert str(check_rule("specificity=0.90")) == "specificity=0.9"


def test_thresholds_come_from_the_split_alone() -> None:
    rng = np.random.default_rng(0)
    labels = np.stack([rng.integers(0, 2, 60), np.zeros(60), rng.integers(0, 2, 60)], axis=1).astype(float)
    scores = rng.normal(size=(60, 3)) + labels
    labels[:10, 0], scores[10:20, 0] = NAN, NAN
    truth = Labelled(("a", "b", "c"), labels, np.arange(60).astype(str))
    found = select_thresholds(truth, scores, check_rule("mcc"), "valid")
    assert found.values[0] == choose(labels[20:, 0], scores[20:, 0], "mcc")
    assert np.isnan(found.values[1])
    assert threshold_notes(truth, found) == ["no threshold from split valid: b"]
    calls = found.calls(np.array([[found.values[0], 1.0, -9.0], [NAN, 1.0, 9.0]]))
    np.testing.assert_array_equal(calls, [[1, NAN, 0], [NAN, NAN, 1]])


def test_without_thresholds_and_probabilities_the_report_says_why(tmp_path: Path) -> None:
    selection, truth = _truth(tmp_path, "test")
    scores = Scores("s", FINDINGS.ids, np.ones((len(selection.manifest), 2)))
    one, notes = combine_scores(scores, truth)
    assert one.calls is None
    assert one.probabilities is None
    assert notes == [Note(NO_CALLS), Note(NO_PROBABILITIES)]


def test_selected_thresholds_and_stated_probabilities(tmp_path: Path) -> None:
    _, test = _truth(tmp_path, "test")
    _, valid = _truth(tmp_path, "valid")
    rng = np.random.default_rng(1)
    theirs = Scores("s", FINDINGS.ids, rng.random((20, 2)))
    ours = Scores("s", FINDINGS.ids, rng.random((20, 2)))
    split = SelectionSplit("valid", check_rule("youden"), valid, theirs)
    one, notes = combine_scores(ours, test, None, split, are_probabilities=True)
    assert one.thresholds is not None
    assert one.thresholds.values[0] == choose(valid.by_unit.labels[:, 0], theirs.values[:, 0], "youden")
    np.testing.assert_array_equal(one.probabilities, ours.values)
    few = "thresholds chosen on fewer than 10 patients of one class of split valid: pneumothorax, hernia"
    assert notes == [Note(few)]


def test_declared_probabilities_must_be_probabilities(tmp_path: Path) -> None:
    _, truth = _truth(tmp_path, "test")
    values = np.full((20, 2), 0.5)
    values[3, 1] = 1.5
    with pytest.raises(ManifestError, match=r"1\.5 is not a probability"):
        combine_scores(Scores("s.csv", FINDINGS.ids, values), truth, are_probabilities=True)


def test_partly_scored_units_are_counted(tmp_path: Path) -> None:
    text = "a.png,p,,1,0\nb.png,p,,0,0\nc.png,q,,0,1\n"
    _, truth = labelled(_rows(tmp_path, text, "all"), FINDINGS, "ignore", "patient")
    values = np.array([[0.25, 0.5], [NAN, NAN], [0.1, 0.2]])
    one, notes = combine_scores(Scores("s", FINDINGS.ids, values), truth)
    np.testing.assert_array_equal(one.scores, [[0.25, 0.5], [0.1, 0.2]])
    assert notes[0].text == "s: 1 patients are scored by the mean of only some of their images"


def test_adapted_scores_are_noted_with_a_warning_on_the_fitted_images(tmp_path: Path) -> None:
    import json
    from types import SimpleNamespace

    facts = {"fitted_on": {"data": "few.csv", "split": "train", "rows_sha256": "abc"}}
    these = Images("few.csv", "csv", "train", (), "abc", "")
    (tmp_path / "adaptation.json").write_text(json.dumps(facts))
    member = SimpleNamespace(checkpoint=SimpleNamespace(name="m", path=tmp_path), adaptation=object())
    plain = SimpleNamespace(checkpoint=None, adaptation=None)
    job = SimpleNamespace(members=(member, plain))
    assert adaptation_notes(job, replace(these, rows_sha256="other", table_sha256="t")) == [  # type: ignore[arg-type]
        "m was adapted on labelled images (few.csv, split train): not zero-shot"
    ]
    assert "how well it fits them" in adaptation_notes(job, these)[1]  # type: ignore[arg-type]
