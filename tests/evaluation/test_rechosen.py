"""Intervals that hold the uncertainty of thresholds."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import norm

from tier_cli.display.evaluation_table import _rechosen
from tier_cli.evaluation.build import measure_units
from tier_cli.evaluation.measure import Measured, Resampling
from tier_cli.evaluation.page.numbers import by_finding
from tier_cli.evaluation.protocol import Protocol
from tier_cli.evaluation.rechosen import rechosen
from tier_cli.evaluation.report import Report
from tier_cli.evaluation.thresholds import Thresholds, select_thresholds
from tier_cli.evaluation.truth import Labelled
from tier_cli.evaluation.unit_scores import UnitScores
from tier_cli.metrics.bootstrap import Estimate, resample, resamplings
from tier_cli.scoring.operating_points import choose, parse_rule

SHIFT = np.sqrt(2) * norm.ppf(0.85)


def _drawn(seed: int, patients: int = 200, images: int = 1) -> tuple[Labelled, np.ndarray]:
    """Draw labels of two findings, a tenth of them positive, and normal scores of AUC 0.85."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((patients * images, 2))
    labels[: patients * images // 10] = 1
    keys = np.repeat(np.arange(patients), images).astype(str)
    return Labelled(("a", "b"), labels, keys), rng.normal(size=labels.shape) + SHIFT * labels


def _estimates(
    seed: int, rule: str = "youden", replicates: int = 200
) -> tuple[dict[str, Estimate], dict[str, Estimate], UnitScores, Labelled]:
    selecting, truth = _drawn(seed), _drawn(1000 + seed)
    thresholds = select_thresholds(*selecting, parse_rule(rule), "valid")
    one, how = UnitScores("m", truth[1], thresholds), Resampling(replicates, seed)
    statistic = one.statistic(truth[0].labels)
    fixed = resample({0: statistic}, truth[0].patients, replicates=replicates, seed=seed)[0]
    return fixed, rechosen(truth[0], one, fixed, how), one, truth[0]


@pytest.mark.parametrize("rule", ["youden", "specificity=0.9"])
def test_the_interval_holds_the_rates_of_the_best_threshold(rule: str) -> None:
    """With a fixed threshold, only half of the intervals of specificity hold it, a benchmark shows."""
    cut = SHIFT / 2 if rule == "youden" else norm.ppf(0.9)
    held = []
    for seed in range(60):
        _, anew, _, _ = _estimates(seed, rule, 150)
        for name, truth in (("sensitivity", norm.sf(cut - SHIFT)), ("specificity", norm.cdf(cut))):
            low, high = anew[f"{name}_rechosen"].interval().T
            held += [*((low <= truth) & (truth <= high))]
    assert np.mean(held) > 0.9


def test_each_replicate_is_that_of_a_threshold_chosen_on_a_resampling() -> None:
    """Thresholds and rates are those of plain code that repeats the drawn rows."""
    _, anew, one, truth = _estimates(5, "mcc", 20)
    assert one.thresholds is not None
    assert one.thresholds.chosen_on is not None
    on = one.thresholds.chosen_on
    ((_, drawn),) = resamplings(on.truth.patients, 20, (5, 1))
    ((_, tested),) = resamplings(truth.patients, 20, 5)
    for number in range(20):
        rows = np.repeat(np.arange(200), drawn[number])
        threshold = choose(on.truth.labels[rows, 1], on.scores[rows, 1], "mcc")
        assert anew["threshold_rechosen"].replicates[number, 1] == threshold
        rows = np.repeat(np.arange(200), tested[number])
        called, positive = one.scores[rows, 1] >= threshold, truth.labels[rows, 1] == 1
        found = (called[positive].mean(), (~called)[~positive].mean())
        rates = [anew[f"{name}_rechosen"].replicates[number, 1] for name in ("sensitivity", "specificity")]
        assert rates == pytest.approx(found, abs=1e-12)


def test_patients_of_the_selection_split_are_drawn_with_all_their_images() -> None:
    """Four copies of each image say no more about the threshold than one."""
    (truth, scores), evaluated = _drawn(3), _drawn(4)
    copies = Labelled(truth.findings, np.repeat(truth.labels, 4, axis=0), np.repeat(truth.patients, 4))
    found = []
    for on in ((truth, scores), (copies, np.repeat(scores, 4, axis=0))):
        one = UnitScores("m", evaluated[1], select_thresholds(*on, parse_rule("youden"), "valid"))
        (whole,) = measure_units(evaluated[0], [one], [], Resampling(300)).measured
        found.append(whole.rows[0].metrics["threshold_rechosen"])
    assert (found[0].low, found[0].high) == pytest.approx((found[1].low, found[1].high), abs=1e-9)


def _whole(thresholds: Thresholds | None = None) -> Measured:
    selecting, (truth, scores) = _drawn(1), _drawn(2)
    chosen = thresholds or select_thresholds(*selecting, parse_rule("youden"), "valid")
    (whole,) = measure_units(truth, [UnitScores("m", scores, chosen)], [], Resampling(50)).measured
    return whole


def test_the_values_are_those_of_the_chosen_threshold() -> None:
    for row in _whole().rows:
        assert row.metrics["threshold_rechosen"].value == row.threshold
        assert row.metrics["sensitivity_rechosen"].value == row.metrics["sensitivity"].value
        assert row.metrics["threshold_rechosen"].low < row.threshold < row.metrics["threshold_rechosen"].high


def test_there_is_a_mean_of_rates_but_not_of_thresholds() -> None:
    whole = _whole()
    assert "threshold_rechosen" not in whole.macro
    mean, fixed = whole.macro["specificity_rechosen"], whole.macro["specificity"]
    assert mean.value == fixed.value
    assert mean.high - mean.low > fixed.high - fixed.low


def test_thresholds_of_a_calibration_are_not_chosen_anew() -> None:
    metrics = _whole(Thresholds("the model's calibration", "", np.full(2, 0.5))).rows[0].metrics
    assert not any(name.endswith("_rechosen") for name in metrics)


def test_a_finding_without_a_threshold_has_none() -> None:
    """One class only in the selection split: no threshold, so no interval of it."""
    (truth, scores), evaluated = _drawn(1), _drawn(2)
    truth.labels[:, 1] = 0
    one = UnitScores("m", evaluated[1], select_thresholds(truth, scores, parse_rule("youden"), "valid"))
    (whole,) = measure_units(evaluated[0], [one], [], Resampling(20)).measured
    for name in ("threshold_rechosen", "sensitivity_rechosen", "specificity_rechosen"):
        assert np.isnan(whole.rows[1].metrics[name].low)


def test_the_page_shows_both_kinds_of_interval() -> None:
    protocol = Protocol("m", "csv", "all", 200, "all", (), "ignore", {}, (None,), "", Resampling(50))
    part = by_finding(Report(protocol, (_whole(),), (), (), (), ()), {"a": "Finding a"})
    (table,) = (one for one in part.tables if one.caption.endswith("chooses the thresholds anew"))
    assert table.heads[2:4] == ["sensitivity, threshold fixed", "sensitivity, threshold chosen anew"]
    assert [row[0] for row in table.rows] == ["Finding a", "b"]
    assert table.rows[0][4] != table.rows[0][5]


def test_the_table_fits_80_columns() -> None:
    text = io.StringIO()
    Console(file=text, width=80).print(_rechosen(_whole(), {"a": "Enlarged cardiomediastinum"}))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("mean of 2" in line for line in lines)
