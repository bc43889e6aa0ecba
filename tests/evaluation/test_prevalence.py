"""Predictive values at a prevalence of the reader's own, against published examples."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import precision_score

from tier_cli.commands.evaluate.data import prevalences
from tier_cli.display.evaluation_table import _at_prevalence
from tier_cli.errors import UsageError
from tier_cli.evaluation.build import measure_units
from tier_cli.evaluation.document import measured_document
from tier_cli.evaluation.measure import Measured, Resampling, Row
from tier_cli.evaluation.page.numbers import by_finding
from tier_cli.evaluation.prevalence import predictive_values, prevalence_by_finding
from tier_cli.evaluation.protocol import Protocol
from tier_cli.evaluation.report import Report
from tier_cli.evaluation.settings import EvaluationSettings
from tier_cli.evaluation.thresholds import Thresholds
from tier_cli.evaluation.truth import Labelled
from tier_cli.evaluation.unit_scores import UnitScores
from tier_cli.findings.load import load_findings

FINDINGS = load_findings("pneumothorax,pleural effusion")


def _measured(prevalence: Mapping[str, float], found: int = 31, of: int = 34, passed: int = 32) -> Measured:
    """Measure calls: `found` of `of` patients with the finding, `passed` of 44 without it; a, b alike."""
    labels = np.repeat([1.0, 0.0], (of, 44))
    scores = np.concatenate([np.arange(of) < found, np.arange(44) >= passed]).astype(float)
    truth = Labelled(("a", "b"), np.stack([labels] * 2, axis=1), np.arange(of + 44).astype(str))
    one = UnitScores(
        "m", np.stack([scores] * 2, axis=1), Thresholds("split valid", "youden", np.full(2, 0.5))
    )
    (whole,) = measure_units(truth, [one], [], Resampling(400), prevalence).measured
    return whole


def test_a_published_case_control_study() -> None:
    """31 of 34 cases and 32 of 44 controls are called rightly (van de Vijver, 2002); prevalence 7 %.

    The numbers are those that the R package CIfinder prints in its README for Gart and Nam's intervals:
    PPV 0.2010 [0.1392, 0.3049], NPV 0.9910 [0.9773, 0.9976].
    """
    metrics = _measured({"a": 0.07}).rows[0].metrics
    ppv, npv = metrics["ppv_at_prevalence"], metrics["npv_at_prevalence"]
    assert (ppv.value, npv.value) == pytest.approx((0.2010444, 0.9909508), abs=1e-7)
    assert (ppv.low, ppv.high) == pytest.approx((0.139, 0.305), abs=0.012)
    assert (npv.low, npv.high) == pytest.approx((0.977, 0.998), abs=0.002)


def test_a_perfect_specificity_leaves_the_ppv_uncertain() -> None:
    """CIfinder's second example: 53 of 57 cases, 113 of 113 controls, prevalence 1.7 %: PPV 1 [0.40, 1]."""
    ppv, npv = predictive_values(
        np.array([[53 / 57, 0.833, 0.972]]), np.array([[1.0, 0.967, 1.0]]), np.array([0.017])
    )
    assert ppv[0, 0] == ppv[0, 2] == 1
    assert 0.3 < ppv[0, 1] < 0.45
    assert npv[0] == pytest.approx([0.9987879, 0.9972, 0.9996], abs=5e-4)


def test_at_the_prevalence_of_the_images_it_is_their_ppv() -> None:
    labels, calls = np.repeat([1, 0], (34, 44)), np.concatenate([np.arange(34) < 31, np.arange(44) >= 32])
    row = _measured({"a": 34 / 78}).rows[0]
    assert row.metrics["ppv_at_prevalence"].value == pytest.approx(precision_score(labels, calls), abs=1e-12)
    assert row.metrics["ppv_at_prevalence"].value == pytest.approx(row.metrics["ppv"].value, abs=1e-12)
    assert row.metrics["npv_at_prevalence"].value == pytest.approx(row.metrics["npv"].value, abs=1e-12)


def test_what_cannot_be_known_is_missing() -> None:
    """If nothing is called present, there is no PPV at any prevalence."""
    metrics = _measured({"a": 0.1}, found=0, passed=44).rows[0].metrics
    assert np.isnan(metrics["ppv_at_prevalence"].value)
    assert np.isnan(metrics["ppv_at_prevalence"].low)
    assert metrics["npv_at_prevalence"].value == pytest.approx(0.9)


def test_only_findings_with_a_prevalence_have_values_and_there_is_no_mean() -> None:
    whole = _measured({"a": 0.07})
    document = measured_document(whole)
    first, second = document["findings"]
    assert (first["prevalence"], second["prevalence"]) == (0.07, None)
    assert second["ppv_at_prevalence"]["value"] is None
    assert "ppv_at_prevalence" not in document["macro"]
    assert "prevalence" in first
    assert "ppv_at_prevalence" not in measured_document(_measured({}))["findings"][0]


def test_the_table_fits_80_columns() -> None:
    text = io.StringIO()
    whole = _measured({"a": 0.07})
    Console(file=text, width=80).print(_at_prevalence(whole, {"a": "Pulmonary fibrosis"}))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "0.201 [" in lines[1]
    assert len(lines) == 2


def test_the_page_shows_the_findings_that_have_a_prevalence() -> None:
    protocol = Protocol("m", "csv", "all", 78, "all", (), "ignore", {}, (None,), "", Resampling(400))
    part = by_finding(Report(protocol, (_measured({"b": 0.07}),), (), (), (), ()), {})
    (table,) = (one for one in part.tables if one.caption.endswith("at a given prevalence"))
    assert [(row[0], row[1]) for row in table.rows] == [("b", "0.07")]
    assert table.rows[0][2].startswith("0.201 [")


def test_names_are_matched_like_columns() -> None:
    measured = ("pneumothorax", "pleural_effusion")
    found = prevalence_by_finding({"Effusion": 0.2}, FINDINGS, measured)
    assert found == {"pleural_effusion": 0.2}
    assert prevalence_by_finding(0.1, FINDINGS, measured) == dict.fromkeys(measured, 0.1)
    assert prevalence_by_finding(None, FINDINGS, measured) == {}
    with pytest.raises(UsageError, match="'fracture' is not a finding"):
        prevalence_by_finding({"fracture": 0.2}, FINDINGS, measured)
    with pytest.raises(UsageError, match="pleural_effusion has two prevalences"):
        prevalence_by_finding({"effusion": 0.2, "pleural effusion": 0.1}, FINDINGS, measured)


def test_the_option_takes_one_share_or_one_per_finding() -> None:
    assert prevalences([]) is None
    assert prevalences(["0.02"]) == 0.02
    assert prevalences(["edema=0.02", "rib fracture=0.1"]) == {"edema": 0.02, "rib fracture": 0.1}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["edema"], "neither SHARE nor FINDING=SHARE"),
        (["edema=x"], "neither SHARE nor FINDING=SHARE"),
        (["0.1", "edema=0.2"], "cannot be combined"),
        (["edema=0.1", "edema=0.2"], "second value"),
    ],
)
def test_unclear_prevalences_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prevalences(texts)


@pytest.mark.parametrize("share", [0, 1, 5, -0.1, float("nan"), "0.1"])
def test_a_prevalence_is_a_share(share: float) -> None:
    """5 for 5 % would give a number that looks plausible."""
    with pytest.raises(UsageError, match="is not between 0 and 1"):
        EvaluationSettings(prevalence={"edema": share})
    with pytest.raises(UsageError, match="is not between 0 and 1"):
        EvaluationSettings(prevalence=share)


def test_rows_without_calls_stay_as_they_were() -> None:
    truth = Labelled(("a",), np.array([[1.0], [0.0]]), np.array(["p", "q"]))
    scores = UnitScores("m", np.array([[1.0], [0.0]]))
    (whole,) = measure_units(truth, [scores], [], Resampling(2), {"a": 0.1}).measured
    assert isinstance(whole.rows[0], Row)
    assert set(whole.rows[0].metrics) == {"auc", "auprc"}
