"""The figures of a calibration come from patients that it was not fitted on."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, recall_score

from tier_cli.evaluation.truth import Labelled
from tier_cli.fitting.calibrate import MIN_PATIENTS, Plan, fit_calibration
from tier_cli.fitting.folds import patient_folds
from tier_cli.scoring.operating_points import choose, parse_rule

YOUDEN = parse_rule("youden")


def _data(size: int, effect: float, seed: int = 0, share: float = 0.3) -> tuple[Labelled, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = (generator.random((size, 1)) < share).astype(float)
    scores = 0.1 * generator.normal(size=(size, 1)) + effect * labels
    patients = np.array([f"p{number // 2}" for number in range(size)])
    return Labelled(("effusion",), labels, patients), scores


def test_figures_come_from_rows_outside_the_fit() -> None:
    truth, scores = _data(2000, 0.1)
    entry = fit_calibration(truth, scores, Plan("platt", YOUDEN)).findings["effusion"]
    folds = patient_folds(truth.patients, truth.labels[:, 0], 5)
    labels, x = truth.labels[:, 0], scores[:, 0]
    predicted, calls = np.empty_like(x), np.empty_like(x)
    for fold in range(5):
        inside = folds == fold
        model = LogisticRegression(C=np.inf, tol=1e-10).fit(10 * x[~inside, None], labels[~inside])
        predicted[inside] = model.predict_proba(10 * x[inside, None])[:, 1]
        calls[inside] = x[inside] >= choose(labels[~inside], x[~inside], "youden")
    judged = entry["cross_validated"]
    # Platt's targets differ a little from plain labels.
    assert judged["after"]["brier"] == pytest.approx(brier_score_loss(labels, predicted), abs=1e-4)
    assert judged["sensitivity"] == pytest.approx(recall_score(labels, calls), abs=1e-6)
    assert judged["before"]["brier"] == pytest.approx(
        brier_score_loss(labels, 1 / (1 + np.exp(-x))), abs=1e-6
    )
    assert judged["after"]["brier"] < judged["prevalence"]["brier"] < judged["before"]["brier"]
    assert judged["after"]["ece"] < judged["before"]["ece"]
    assert entry["threshold"] == choose(labels, x, "youden")


@pytest.mark.parametrize("method", list(MIN_PATIENTS))
def test_uninformative_scores_do_not_look_good(method: str) -> None:
    # In-sample, isotonic steps would always beat the prevalence.
    truth, _ = _data(400, 0.0)
    noise = np.random.default_rng(9).normal(size=(400, 1))
    fitted = fit_calibration(truth, noise, Plan(method, YOUDEN))
    for entry in fitted.findings.values():
        judged = entry["cross_validated"]
        assert judged["after"]["brier"] > judged["prevalence"]["brier"] - 2e-3


@pytest.mark.parametrize(("method", "least"), MIN_PATIENTS.items())
def test_patients_count_not_their_images(method: str, least: int) -> None:
    # One image more of the same patient is no more to learn from.
    count = least - 1
    labels = np.array([1.0] * (2 * count) + [0.0] * 200)[:, None]
    scores = labels + np.random.default_rng(0).normal(size=labels.shape)
    patients = [f"p{number // 2}" for number in range(2 * count)] + [f"q{number}" for number in range(200)]
    fitted = fit_calibration(Labelled(("x",), labels, np.array(patients)), scores, Plan(method, YOUDEN))
    assert fitted.findings == {}
    assert fitted.left_out == {
        "x": f"only {count} patients with the finding; {method} needs at least {least}"
    }
    patients[0] = "another"
    assert (
        "x"
        in fit_calibration(
            Labelled(("x",), labels, np.array(patients)), scores, Plan(method, YOUDEN)
        ).findings
    )


def test_finding_whose_score_falls_is_left_out() -> None:
    truth, scores = _data(400, 0.1)
    assert "does not rise" in fit_calibration(truth, -scores, Plan("platt", YOUDEN)).left_out["effusion"]


def test_rows_without_label_or_score_do_not_matter() -> None:
    truth, scores = _data(400, 0.1)
    one = fit_calibration(truth, scores, Plan("platt", YOUDEN))
    labels = np.concatenate([truth.labels, [[np.nan]], [[1.0]]])
    more = Labelled(truth.findings, labels, np.concatenate([truth.patients, ["z1", "z2"]]))
    two = fit_calibration(more, np.concatenate([scores, [[5.0]], [[np.nan]]]), Plan("platt", YOUDEN))
    assert one.findings["effusion"]["a"] == two.findings["effusion"]["a"]
