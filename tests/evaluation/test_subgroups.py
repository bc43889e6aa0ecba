"""Groups of a column, and the gaps between them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tier_cli.errors import ManifestError
from tier_cli.evaluation.build import measure_units
from tier_cli.evaluation.divisions import divide
from tier_cli.evaluation.measure import Metric, Resampling, Row, holm
from tier_cli.evaluation.subgroups import too_small
from tier_cli.evaluation.thresholds import Thresholds
from tier_cli.evaluation.truth import Labelled
from tier_cli.evaluation.unit_scores import UnitScores


@pytest.mark.parametrize(
    ("cell", "group"),
    [
        ("0", "0-17"),
        ("17.9", "0-17"),
        ("018M", "0-17"),
        ("003W", "0-17"),
        ("18", "18-39"),
        ("040Y", "40-59"),
        ("79", "60-79"),
        ("80", "80+"),
        ("120", "80+"),
        ("414", "unknown"),
        ("", "unknown"),
        ("mixed", "mixed"),
    ],
)
def test_ages_are_banded(cell: str, group: str) -> None:
    assert divide("age", np.array([cell, "30"])).cells[0] == group


def test_existing_age_bands_are_kept() -> None:
    division = divide("age", np.array(["60-79", "old", ""]))
    assert division.cells.tolist() == ["60-79", "old", "unknown"]
    assert division.groups == ("60-79", "old", "unknown")
    assert division.compared == ("60-79", "old")


def test_bands_are_ordered_by_age() -> None:
    assert divide("age", np.array(["85", "3", "45", "", "20"])).groups == (
        "0-17",
        "18-39",
        "40-59",
        "80+",
        "unknown",
    )


def test_meaningless_cells_are_unknown() -> None:
    division = divide("sex", np.array(["F", "Unknown", "", "nan", " F ", "M"]))
    assert division.cells.tolist() == ["F", "unknown", "unknown", "unknown", "F", "M"]
    assert division.compared == ("F", "M")


def test_too_many_groups_are_refused() -> None:
    with pytest.raises(ManifestError, match="31 different values"):
        divide("hospital", np.arange(31).astype(str))


@pytest.mark.parametrize(
    ("n", "positives", "width", "reason"),
    [
        (100, 9, 0.1, "9 patients with the finding"),
        (100, 91, 0.1, "9 patients without the finding"),
        (100, 50, 0.25, "interval of 0.25"),
        (100, 50, 0.2, ""),
    ],
)
def test_groups_that_are_too_small_are_marked(n: int, positives: int, width: float, reason: str) -> None:
    row = Row(
        "x", 3 * n, 3 * positives, positives, n - positives, {"auc": Metric(0.5, 0.5, 0.5 + width, 100)}
    )
    assert too_small(row) == reason


def _truth(rows: int) -> tuple[Labelled, UnitScores, np.ndarray]:
    """Make labels and scores of two findings, which are ranked better among women than among men."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, (rows, 2)).astype(float)
    women = rng.integers(0, 2, rows).astype(bool)
    scores = rng.normal(size=(rows, 2)) + labels * np.where(women, 2.0, 0.5)[:, None]
    sex = np.where(women, "F", "M")
    sex[:5] = ""
    return (
        Labelled(("a", "b"), labels, np.arange(rows).astype(str)),
        UnitScores("m", scores),
        sex,
    )


def test_gaps_are_differences_between_group_values() -> None:
    truth, one, sex = _truth(400)
    how = Resampling(100)
    found = measure_units(truth, [one], [divide("sex", sex)], how)
    groups, gaps = found.groups, found.gaps
    assert [group.value for group in groups] == ["F", "M", "unknown"]
    expected = {
        value: roc_auc_score(truth.labels[sex == value, 0], one.scores[sex == value, 0]) for value in "FM"
    }
    women, men = groups[0], groups[1]
    assert women.measured[0].rows[0].metrics["auc"].value == pytest.approx(expected["F"], abs=1e-9)
    against = women.against_rest[0]["a"]
    assert against.value == pytest.approx(expected["F"] - expected["M"], abs=1e-9)
    assert against.low > 0
    assert men.against_rest[0]["a"].value == pytest.approx(-against.value, abs=1e-12)
    assert (gaps[0].finding, gaps[0].highest, gaps[0].lowest) == ("a", "F", "M")
    assert gaps[0].metric.value == pytest.approx(against.value, abs=1e-12)
    mean = gaps[-1]
    assert (mean.finding, mean.averaged) == ("macro", 2)
    assert mean.metric.value == pytest.approx(np.mean([gap.metric.value for gap in gaps[:2]]), abs=1e-12)


def test_the_rest_is_all_other_known_groups() -> None:
    truth, one, _ = _truth(400)
    hospital = np.array([["x", "y", "z", ""][n % 4] for n in range(400)])
    groups = measure_units(truth, [one], [divide("hospital", hospital)], Resampling(20)).groups
    rest = np.isin(hospital, ["y", "z"])
    own = roc_auc_score(truth.labels[hospital == "x", 1], one.scores[hospital == "x", 1])
    others = roc_auc_score(truth.labels[rest, 1], one.scores[rest, 1])
    assert groups[0].against_rest[0]["b"].value == pytest.approx(own - others, abs=1e-9)


def test_small_groups_are_excluded_from_gaps() -> None:
    truth, one, _ = _truth(400)
    hospital = np.array(["tiny" if n < 12 else "big" for n in range(400)])
    found = measure_units(truth, [one], [divide("hospital", hospital)], Resampling(50))
    groups, gaps = found.groups, found.gaps
    assert not gaps
    assert groups[1].value == "tiny"
    assert groups[1].too_small[0]["a"].endswith("the finding")


def test_images_of_one_patient_in_both_groups_are_resampled_together() -> None:
    # The same images twice, once a group: the gap is 0 in every resampling, and so is its interval.
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, (150, 1)).astype(float), rng.normal(size=(150, 1))
    patients = np.arange(150).astype(str)
    truth = Labelled(("a",), np.tile(labels, (2, 1)), np.tile(patients, 2))
    one = UnitScores("m", np.tile(scores, (2, 1)) + np.tile(labels, (2, 1)) * 2)
    view = np.repeat(["PA", "AP"], 150)
    groups = measure_units(truth, [one], [divide("view", view)], Resampling(50)).groups
    against = groups[0].against_rest[0]["a"]
    assert (against.value, against.low, against.high) == (0, 0, 0)


def test_calls_of_groups_are_compared_at_the_same_threshold_and_corrected_over_the_groups() -> None:
    truth, one, _ = _truth(600)
    hospital = np.array(["xyz"[n % 3] for n in range(600)])
    worse = np.where((hospital == "z")[:, None], one.scores - 1.5, one.scores)
    called = UnitScores("m", worse, Thresholds("split valid", "youden", np.array([0.5, 0.5])))
    groups = measure_units(truth, [called], [divide("hospital", hospital)], Resampling(400)).groups
    found = [group.calls_against_rest[0]["a"]["sensitivity"] for group in groups]
    present = truth.labels[:, 0] == 1
    hit = worse[:, 0] >= 0.5
    own, rest = (hit[present & (hospital == "z")].mean(), hit[present & (hospital != "z")].mean())
    assert found[2].value == pytest.approx(own - rest, abs=1e-9)
    assert found[2].high < 0
    plain = np.array([metric.p for metric in found], dtype=np.float64)
    corrected = np.array([metric.p_holm for metric in found], dtype=np.float64)
    np.testing.assert_allclose(corrected, holm(plain))
    assert found[2].p_holm == pytest.approx(min(1.0, 3 * (found[2].p or 0)))
    without = measure_units(truth, [one], [divide("hospital", hospital)], Resampling(5)).groups
    assert without[0].calls_against_rest == ({},)


def test_two_groups_are_one_comparison_of_calls() -> None:
    truth, one, sex = _truth(400)
    called = UnitScores("m", one.scores, Thresholds("split valid", "youden", np.array([0.5, 0.5])))
    groups = measure_units(truth, [called], [divide("sex", sex)], Resampling(100)).groups
    women, men = (group.calls_against_rest[0]["a"]["specificity"] for group in groups[:2])
    assert women.value == pytest.approx(-men.value, abs=1e-12)
    assert women.p == women.p_holm


def test_a_share_of_few_patients_is_not_compared() -> None:
    truth, one, _ = _truth(400)
    hospital = np.array(["tiny" if n < 12 else "big" for n in range(400)])
    called = UnitScores("m", one.scores, Thresholds("split valid", "youden", np.array([0.5, 0.5])))
    groups = measure_units(truth, [called], [divide("hospital", hospital)], Resampling(20)).groups
    assert all(not group.calls_against_rest[0] for group in groups)
