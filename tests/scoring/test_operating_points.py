"""Operating points against scikit-learn's curves and a search through every cut."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef, recall_score, roc_curve

from tier_cli.errors import UsageError
from tier_cli.scoring.operating_points import RULES, choose, choose_weighted, parse_rule

BEST = {
    "youden": lambda y, c: recall_score(y, c) + recall_score(1 - y, 1 - c, zero_division=0.0),
    "f1": lambda y, c: f1_score(y, c, zero_division=0.0),
    "mcc": matthews_corrcoef,
}


def cases() -> list[tuple[np.ndarray, np.ndarray]]:
    """Labels and scores, with many ties and with none."""
    generator = np.random.default_rng(5)
    made = []
    for size, digits in ((7, 1), (40, 1), (200, 1), (200, 9)):
        labels = generator.integers(0, 2, size)
        labels[:2] = 0, 1
        made.append((labels, np.round(generator.normal(size=size) + 0.8 * labels, digits)))
    return made


@pytest.mark.parametrize("rule", list(BEST))
@pytest.mark.parametrize("case", range(4))
def test_no_other_cut_is_better(rule: str, case: int) -> None:
    labels, scores = cases()[case]
    threshold = choose(labels, scores, rule)
    reached = BEST[rule](labels, (scores >= threshold).astype(int))
    every = [BEST[rule](labels, (scores >= cut).astype(int)) for cut in [*np.unique(scores), np.inf]]
    assert reached == pytest.approx(max(every), abs=1e-12)


@pytest.mark.parametrize("target", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("case", range(4))
def test_fixed_sensitivity_and_specificity_are_reached_at_least_cost(target: float, case: int) -> None:
    labels, scores = cases()[case]
    false_rate, true_rate, _ = roc_curve(labels, scores, drop_intermediate=False)
    calls = (scores >= choose(labels, scores, f"sensitivity={target}")).astype(int)
    assert recall_score(labels, calls) >= target
    specificity = recall_score(1 - labels, 1 - calls)
    assert specificity == pytest.approx(1 - false_rate[true_rate >= target].min(), abs=1e-12)
    calls = (scores >= choose(labels, scores, f"specificity={target}")).astype(int)
    assert recall_score(1 - labels, 1 - calls) >= target - 1e-15
    best = true_rate[1 - false_rate >= target - 1e-12].max()
    assert recall_score(labels, calls) == pytest.approx(best, abs=1e-12)


def test_a_share_that_is_inexact_in_floating_point_still_counts() -> None:
    # 1 - 1/10 < 0.9 in doubles; nine of ten negatives are 90 % all the same.
    labels = np.array([0] * 10 + [1])
    scores = np.array([*range(10), 8.5])
    threshold = choose(labels, scores, "specificity=0.9")
    assert 8 < threshold <= 8.5


def test_specificity_of_one_can_ask_for_no_calls() -> None:
    threshold = choose([1, 0], [0.2, 0.9], "specificity=1")
    assert threshold > 0.9
    assert np.isfinite(threshold)


def test_threshold_lies_between_scores_and_equal_scores_are_called_together() -> None:
    assert choose([0, 0, 1, 1], [0.1, 0.2, 0.4, 0.5], "youden") == pytest.approx(0.3)
    labels, scores = [0, 1, 1, 0, 1], [0.2, 0.2, 0.6, 0.6, 0.6]
    assert 0.2 < choose(labels, scores, "mcc") <= 0.6
    close = [1.0, np.nextafter(1.0, 2)]
    assert choose([0, 1], close, "f1") == close[1]


def test_the_fewest_calls_among_equals() -> None:
    # Cuts at 3 and at 1 have the same Youden index.
    assert choose([1, 0, 1, 0], [4.0, 3.0, 2.0, 1.0], "youden") == pytest.approx(3.5)


def test_rows_without_label_or_score_are_left_out() -> None:
    labels = [0, 1, np.nan, -1, 1, 0]
    scores = [0.1, 0.5, 0.9, 0.9, np.nan, 0.2]
    assert choose(labels, scores, "youden") == pytest.approx(0.35)


def test_one_class_has_no_operating_point() -> None:
    with pytest.raises(ValueError, match="both positives and negatives"):
        choose([1, 1], [0.1, 0.2], "youden")


@pytest.mark.parametrize(
    "text", ["best", "sensitivity", "sensitivity=", "specificity=1.2", "f1=0.5", "mcc=", ""]
)
def test_unknown_rules_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError):
        parse_rule(text)


def test_rules_are_written_as_they_are_read() -> None:
    assert [str(parse_rule(text)) for text in ("Youden", " sensitivity = 0.90 ")] == [
        "youden",
        "sensitivity=0.9",
    ]


@pytest.mark.parametrize(
    "rule", [*RULES[:3], "sensitivity=0.8", "sensitivity=1", "specificity=0.3", "specificity=1"]
)
def test_weighted_rows_are_repeated_rows(rule: str) -> None:
    """A threshold chosen on a resampling must be the one that its rows would give, ties and gaps included."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        count = int(rng.integers(3, 30))
        labels = rng.integers(0, 2, count).astype(float)
        scores = np.round(rng.normal(size=count) + labels, 1)
        labels[0], scores[1] = np.nan, np.nan
        weights = np.stack([np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(10)])
        found = choose_weighted(labels, scores, weights.T.astype(np.float32), parse_rule(rule))
        for drawn, threshold in zip(weights, found, strict=True):
            rows = np.repeat(np.arange(count), drawn)
            present = labels[rows][np.isfinite(scores[rows])]
            if {0.0, 1.0} <= set(present):
                assert threshold == choose(labels[rows], scores[rows], rule)
            else:
                assert np.isnan(threshold)
