"""Fit a calibration on labelled scores, and cross-validate it by patient."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.evaluation.truth import Labelled
from tier_cli.fitting.curves import fit_curve
from tier_cli.fitting.folds import patient_folds
from tier_cli.fitting.left_out import too_few_patients
from tier_cli.metrics.statistics import Statistic, decisions, ece_if_calibrated, probabilities
from tier_cli.scoring.calibration import Curve
from tier_cli.scoring.operating_points import Rule, choose

Floats = NDArray[np.float64]

# The fewest patients with the finding, and without it, that a curve is fitted on. Isotonic steps have more
# freedom than a logistic curve, so they need more.
MIN_PATIENTS = {"platt": 10, "isotonic": 30}
_DIGITS = 6
# Percentiles of the scores of images without the finding that bound its ordinary range.
_ORDINARY = (5, 95)


@dataclass(frozen=True)
class Plan:
    """How a calibration is fitted.

    Parameters
    ----------
    method
        ``platt`` or ``isotonic``.
    rule
        The rule that chooses operating points.
    folds, seed
        Number of folds of the cross-validation by patient, and its seed.
    """

    method: str
    rule: Rule
    folds: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Fitted:
    """The outcome of a fit.

    Parameters
    ----------
    findings
        Entries of calibration.json by finding id.
    left_out
        Why the other findings have no entry, by finding id.
    """

    findings: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def fit_calibration(truth: Labelled, scores: Floats, plan: Plan) -> Fitted:
    """Fit every finding that has enough patients with it and without it.

    Parameters
    ----------
    truth
        Labels (N, F), 1, 0 or NaN for none, with the patient of each row.
    scores
        (N, F); NaN for none.
    plan
        How to fit.
    """
    fitted = Fitted()
    for number, name in enumerate(truth.findings):
        known = np.isfinite(truth.labels[:, number]) & np.isfinite(scores[:, number])
        rows = _Rows(truth.labels[known, number], scores[known, number], truth.patients[known])
        reason = too_few_patients(rows.labels, rows.patients, plan.method, MIN_PATIENTS[plan.method])
        curve = None if reason else fit_curve(plan.method, rows.labels, rows.scores)
        if curve is None:
            fitted.left_out[name] = reason or "its score does not rise with the finding in these images"
        else:
            fitted.findings[name] = _entry(curve, rows, plan)
    return fitted


@dataclass(frozen=True)
class _Rows:
    """The rows of one finding: labels (N,) 1 or 0, scores (N,), patients (N,)."""

    labels: Floats
    scores: Floats
    patients: NDArray[np.str_]

    def where(self, keep: NDArray[np.bool_]) -> _Rows:
        return _Rows(self.labels[keep], self.scores[keep], self.patients[keep])


def _entry(curve: Curve, rows: _Rows, plan: Plan) -> dict[str, Any]:
    threshold = choose(rows.labels, rows.scores, plan.rule)
    low, high = np.percentile(rows.scores[rows.labels == 0], _ORDINARY)
    ordinary = {"ordinary_range": [round(float(x), _DIGITS) for x in (low, high)]} if low < high else {}
    return {
        **curve.to_dict(),
        "threshold": threshold,
        **ordinary,
        "probability_at_threshold": round(curve.probability(threshold), _DIGITS),
        "n": len(rows.labels),
        "positives": int(rows.labels.sum()),
        "patients": len(np.unique(rows.patients)),
        "cross_validated": _cross_validated(rows, plan),
    }


def _cross_validated(rows: _Rows, plan: Plan) -> dict[str, Any]:
    """Measure the probabilities and calls of all folds, each from a fit on the other folds.

    ``before`` treats the sigmoid of the score as a probability, as the TIER paper does for PadChest;
    ``prevalence`` predicts the share of positives among the rows fitted on.
    """
    folds = patient_folds(rows.patients, rows.labels, plan.folds, plan.seed)
    after, prevalence, calls = np.full((3, len(folds)), np.nan)
    for fold in range(plan.folds):
        inside, others = folds == fold, rows.where(folds != fold)
        share = float(others.labels.mean())
        curve = fit_curve(plan.method, others.labels, others.scores)
        # Without a curve, predict the prevalence of the other folds.
        after[inside] = [curve.probability(x) if curve else share for x in rows.scores[inside].tolist()]
        prevalence[inside] = share
        calls[inside] = rows.scores[inside] >= choose(others.labels, others.scores, plan.rule)
    before = 0.5 * (1 + np.tanh(0.5 * rows.scores))
    measured: dict[str, Any] = {"folds": plan.folds, "seed": plan.seed}
    for name, predicted in (("before", before), ("prevalence", prevalence), ("after", after)):
        measured[name] = _measure(probabilities(rows.labels[:, None], predicted[:, None]), len(folds))
    drawn = ece_if_calibrated(after[:, None], np.isfinite(after)[:, None], seed=plan.seed)
    measured["after"]["ece_if_calibrated"] = round(float(drawn.mean()), _DIGITS)
    at_threshold = _measure(decisions(rows.labels[:, None], calls[:, None]), len(folds))
    return measured | {name: at_threshold[name] for name in ("sensitivity", "specificity")}


def _measure(statistic: Statistic, rows: int) -> dict[str, float]:
    measured = statistic(np.ones((1, rows)))
    return {name: round(float(values[0, 0]), _DIGITS) for name, values in measured.items()}
