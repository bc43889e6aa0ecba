"""Radiologists compared with a model: readers, common images and differences."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef, recall_score

from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.display.radiologists_table import show_readers
from tier_cli.errors import ManifestError
from tier_cli.evaluation.measure import Resampling
from tier_cli.evaluation.sections.radiologists import Reads, measure_readers, reads_of, under_curve
from tier_cli.evaluation.thresholds import Thresholds
from tier_cli.evaluation.truth import Labelled
from tier_cli.evaluation.unit_scores import UnitScores
from tier_cli.findings.load import load_findings

FINDINGS = load_findings("pneumothorax,pleural effusion")
NAN = float("nan")


def _manifest(folder: Path, text: str) -> Manifest:
    (folder / "manifest.csv").write_text(text)
    return read_manifest(folder / "manifest.csv")


def test_columns_are_matched_by_the_names_of_findings(tmp_path: Path) -> None:
    manifest = _manifest(
        tmp_path,
        "path,effusion,reader:bc4:Pleural Effusion,reader:bc4:pneumothorax,reader:dr:a:effusion,"
        "reader:bc4:fracture\n"
        "a.png,1,1,0,,1\nb.png,0,,1,0,1\n",
    )
    first, second = reads_of(manifest, FINDINGS, ("pleural_effusion", "pneumothorax"))
    assert (first.name, second.name) == ("bc4", "dr:a")
    np.testing.assert_array_equal(first.values, [[1, 0], [NAN, 1]])
    np.testing.assert_array_equal(second.values, [[NAN, NAN], [0, NAN]])
    assert reads_of(_manifest(tmp_path, "path,effusion\na.png,1\n"), FINDINGS, ("pleural_effusion",)) == []


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("reader:effusion", "does not name a reader and a finding"),
        ("reader:x:effusion,reader:x:pleural effusion", "two columns hold x's reads"),
    ],
)
def test_invalid_reader_columns_are_refused(tmp_path: Path, header: str, message: str) -> None:
    cells = ",1" * len(header.split(","))
    manifest = _manifest(tmp_path, f"path,{header}\na.png{cells}\n")
    with pytest.raises(ManifestError, match=message):
        reads_of(manifest, FINDINGS, ("pleural_effusion",))


def _case(rows: int = 120) -> tuple[Labelled, list[Reads], UnitScores]:
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, (rows, 2)).astype(float)
    wrong = [rng.random((rows, 2)) < rate for rate in (0.1, 0.3)]
    reads = [Reads(f"r{n}", np.where(flip, 1 - labels, labels)) for n, flip in enumerate(wrong)]
    reads[1].values[:, 1] = NAN
    reads[0].values[:7, 0] = NAN
    thresholds = Thresholds("split valid", "youden", np.array([0.5, 0.4]))
    scores = rng.normal(size=(rows, 2)) + labels
    scores[-1] = NAN
    truth = Labelled(("pneumothorax", "pleural_effusion"), labels, np.arange(rows).astype(str))
    return truth, reads, UnitScores("m", scores, thresholds)


def test_all_are_measured_on_common_units() -> None:
    truth, reads, one_set = _case()
    content = measure_readers(truth, reads, [one_set], Resampling(60), "images")
    first, second = content["findings"]
    assert (first["n"], first["readers"]) == (112, 2)
    assert (second["n"], second["readers"]) == (119, 1)
    rows = slice(7, 119)
    labels = truth.labels[rows, 0]
    for number, one in enumerate(reads):
        found = content["readers"][number]["findings"]["pneumothorax"]
        calls = one.values[rows, 0]
        assert found["mcc"]["value"] == pytest.approx(matthews_corrcoef(labels, calls), abs=1e-6)
        assert found["sensitivity"]["value"] == pytest.approx(recall_score(labels, calls), abs=1e-6)
        assert found["mcc"]["low"] < found["mcc"]["value"] < found["mcc"]["high"]
    calls = (one_set.scores[rows, 0] >= 0.5).astype(float)
    mean = np.mean([f1_score(labels, one.values[rows, 0]) for one in reads])
    difference = content["scores"][0]["minus_readers"]["findings"]["pneumothorax"]["f1"]
    assert difference["value"] == pytest.approx(f1_score(labels, calls) - mean, abs=1e-6)
    assert 0 < difference["p"] <= 1
    # Only one radiologist read effusion: the mean is that one.
    lone = content["readers"][0]["findings"]["pleural_effusion"]["mcc"]["value"]
    assert content["mean_of_readers"]["findings"]["pleural_effusion"]["mcc"]["value"] == lone
    assert content["readers"][1]["findings"]["pleural_effusion"]["mcc"]["value"] is None


def test_without_thresholds_only_the_curve_is_compared() -> None:
    truth, reads, one_set = _case()
    content = measure_readers(truth, reads, [UnitScores("m", one_set.scores)], Resampling(10), "images")
    model = content["scores"][0]
    assert model["macro"] is None
    assert model["minus_readers"] is None
    assert model["readers_under_curve"]["pneumothorax"] in (0, 1, 2)


def test_readers_under_the_curve() -> None:
    labels = np.array([1.0, 1, 1, 1, 0, 0, 0, 0])
    scores = np.array([8.0, 7, 5, 4, 6, 3, 2, 1])  # through (0, 0.5), (0.25, 0.5) and (0.25, 1)
    below = np.array([1.0, 0, 0, 0, 0, 0, 0, 0])  # (0, 0.25)
    on = np.array([1.0, 1, 0, 0, 0, 0, 0, 0])  # (0, 0.5)
    beside = np.array([1.0, 1, 1, 0, 1, 0, 0, 0])  # (0.25, 0.75): the curve rises to 1 there
    perfect = labels
    assert under_curve(labels, scores, [below, on, beside, perfect]) == 2
    assert under_curve(np.ones(8), scores, [below]) is None
    # Tied scores: a straight line from (0, 0) to (1, 1).
    assert under_curve(labels, np.zeros(8), [below, np.array([0.0, 0, 0, 0, 1, 1, 0, 0])]) == 1


def test_tables_fit_80_columns() -> None:
    from rich.console import Console

    truth, reads, one_set = _case()
    text = io.StringIO()
    content = measure_readers(truth, reads, [one_set], Resampling(10), "images")
    show_readers(content, Console(file=text, width=80))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:1] == ["pneumothorax"] and "of 2" in line for line in lines)


def test_radiologists_as_a_random_sample_leave_more_uncertain() -> None:
    """Two radiologists say little about others: the interval must be wider than for these two alone."""
    truth, reads, one_set = _case()
    content = measure_readers(
        truth, reads, [one_set, UnitScores("n", one_set.scores)], Resampling(60), "images"
    )
    random = content["random_readers"]
    fixed = content["mean_of_readers"]["findings"]["pneumothorax"]["sensitivity"]
    found = random["mean_of_readers"]["findings"]["pneumothorax"]["sensitivity"]
    assert found["value"] == fixed["value"]
    assert found["high"] - found["low"] > fixed["high"] - fixed["low"]
    assert 0 <= found["low"] <= found["high"] <= 1
    minus = random["scores"][0]["minus_readers"]["findings"]["pneumothorax"]
    same = content["scores"][0]["minus_readers"]["findings"]["pneumothorax"]["mcc"]["value"]
    assert minus["mcc"]["value"] == pytest.approx(same, abs=2e-6)
    assert 0 < minus["sensitivity"]["p"] <= minus["sensitivity"]["p_holm"] <= 1
    # A model without thresholds has no calls to compare.
    assert random["scores"][1] == {"name": "n", "minus_readers": None}
    # Only one radiologist read effusion: the value is known, its uncertainty over radiologists is not.
    lone = random["mean_of_readers"]["findings"]["pleural_effusion"]["sensitivity"]
    assert (lone["low"], lone["degrees_of_freedom"]) == (None, None)
    assert lone["value"] is not None
    assert random["mean_of_readers"]["macro"]["sensitivity"]["findings"] == 1


def test_one_radiologist_is_no_sample() -> None:
    truth, reads, one_set = _case()
    assert measure_readers(truth, reads[:1], [one_set], Resampling(10), "images")["random_readers"] is None
