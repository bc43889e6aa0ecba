"""The numbers of a table: values, counts, blanks, uncertain labels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tier_cli.evaluation.build import measure_units
from tier_cli.evaluation.measure import Measured, Resampling
from tier_cli.evaluation.truth import Labelled, settle_uncertain
from tier_cli.evaluation.unit_scores import UnitScores

HOW = Resampling(replicates=50)


def _measure(truth: Labelled, scores: np.ndarray) -> Measured:
    (found,) = measure_units(truth, [UnitScores("m", scores)], [], HOW).measured
    return found


def _compare(truth: Labelled, first: np.ndarray, second: np.ndarray) -> Measured:
    sets = [UnitScores("m", first), UnitScores("o", second)]
    (found,) = measure_units(truth, sets, [], HOW).differences
    return found


def _truth(rows: int = 80) -> tuple[Labelled, np.ndarray]:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, (rows, 3)).astype(float)
    labels[:, 2] = 0
    labels[::7, 0] = np.nan
    scores = rng.normal(size=labels.shape) + np.nan_to_num(labels)
    return Labelled(("a", "b", "c"), labels, np.arange(rows).astype(str)), scores


def test_counts_and_numbers_of_each_finding() -> None:
    truth, scores = _truth()
    scores[:5] = np.nan
    measured = _measure(truth, scores)
    assert (measured.n, measured.patients, measured.averaged) == (75, 75, 2)
    for number in (0, 1):
        row, known = (
            measured.rows[number],
            np.isfinite(truth.labels[:, number]) & np.isfinite(scores[:, number]),
        )
        labels, values = truth.labels[known, number], scores[known, number]
        assert (row.n, row.positives) == (known.sum(), labels.sum())
        assert row.metrics["auc"].value == pytest.approx(roc_auc_score(labels, values), abs=1e-9)
        assert row.metrics["auprc"].value == pytest.approx(average_precision_score(labels, values), abs=1e-9)
        assert row.metrics["auc"].low < row.metrics["auc"].value < row.metrics["auc"].high
        assert row.metrics["auc"].replicates == 50
    assert measured.macro["auc"].value == pytest.approx(
        np.mean([row.metrics["auc"].value for row in measured.rows[:2]]), abs=1e-12
    )


def test_labels_that_are_not_findings_are_left_out_of_a_second_mean() -> None:
    """PadChest's normal and unchanged are easy or impossible, and would distort the mean over findings."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, (60, 4)).astype(float)
    scores, other = (rng.normal(size=labels.shape) + labels for _ in range(2))
    truth = Labelled(("hernia", "normal", "edema", "unchanged"), labels, np.arange(60).astype(str))
    apart = Labelled(("hernia", "edema"), labels[:, [0, 2]], truth.patients)
    found, alone = _measure(truth, scores), _measure(apart, scores[:, [0, 2]])
    assert found.left_out == ("normal", "unchanged")
    assert (found.macro["auc"].findings, found.macro_without["auc"].findings) == (4, 2)
    assert found.macro_without == alone.macro
    assert alone.macro_without == {}
    difference = _compare(truth, scores, other)
    less = _compare(apart, scores[:, [0, 2]], other[:, [0, 2]])
    assert difference.macro_without == less.macro
    # Where one of them has one class only, it is in no mean.
    one_class = Labelled(truth.findings, np.where([0, 1, 0, 1], 0, labels), truth.patients)
    assert _measure(one_class, scores).macro_without == {}


def test_one_class_has_its_count_and_no_number() -> None:
    truth, scores = _truth()
    row = _measure(truth, scores).rows[2]
    assert (row.n, row.positives, row.both_classes) == (80, 0, False)
    assert np.isnan([row.metrics["auc"].value, row.metrics["auc"].low, row.metrics["auprc"].value]).all()
    assert row.metrics["auc"].replicates == 0


def test_a_difference_counts_common_units() -> None:
    truth, scores = _truth()
    other = scores + np.random.default_rng(1).normal(size=scores.shape)
    other[:10] = np.nan
    difference = _compare(truth, scores, other)
    assert difference.n == 70
    kept = Labelled(truth.findings, truth.labels[10:], truth.patients[10:])
    ours, theirs = _measure(kept, scores[10:]), _measure(kept, other[10:])
    assert difference.rows[1].metrics["auc"].value == pytest.approx(
        ours.rows[1].metrics["auc"].value - theirs.rows[1].metrics["auc"].value, abs=1e-12
    )


@pytest.mark.parametrize(("uncertain", "value"), [("ignore", np.nan), ("positive", 1.0), ("negative", 0.0)])
def test_uncertain_labels_are_settled_and_blanks_stay_blank(uncertain: str, value: float) -> None:
    labels = np.array([[1.0, -1.0], [0.0, np.nan]])
    np.testing.assert_array_equal(settle_uncertain(labels, uncertain), [[1.0, value], [0.0, np.nan]])
