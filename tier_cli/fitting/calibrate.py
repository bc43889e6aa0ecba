"""Fitting a calibration on labelled scores, and judging it on patients that it was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.evaluation.truth import Labelled
from tier_cli.fitting.curves import fit
from tier_cli.fitting.folds import count_patients, patient_folds
from tier_cli.metrics.statistics import decisions, probabilities
from tier_cli.scoring.calibration import Curve
from tier_cli.scoring.operating_points import Rule, choose

Floats = NDArray[np.float64]

# So many patients with the finding, and as many without it, a curve is fitted on at least. Steps have more
# freedom than a line, so they need more.
LEAST_PATIENTS = {"platt": 10, "isotonic": 30}
_DIGITS = 6


@dataclass(frozen=True)
class Plan:
    """How a calibration is fitted.

    Parameters
    ----------
    method
        ``platt`` or ``isotonic``.
    rule
        How operating points are chosen.
    folds, seed
        Of the cross-validation by patient.
    """

    method: str
    rule: Rule
    folds: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Fitted:
    """What came of it: the entries of calibration.json by finding id, and why others have none."""

    findings: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def calibrate(truth: Labelled, scores: Floats, plan: Plan) -> Fitted:
    """Fit every finding that has enough patients on either side.

    Parameters
    ----------
    truth
        Labels (N, F) with the patient of each row: 1, 0, NaN = none.
    scores
        (N, F), NaN = none.
    plan
        How.
    """
    fitted = Fitted()
    for number, name in enumerate(truth.findings):
        known = np.isfinite(truth.labels[:, number]) & np.isfinite(scores[:, number])
        data = _Data(truth.labels[known, number], scores[known, number], truth.patients[known])
        reason = _too_few(data, plan)
        curve = None if reason else fit(plan.method, data.labels, data.scores)
        if curve is None:
            fitted.left_out[name] = reason or "its score does not rise with the finding in these data"
        else:
            fitted.findings[name] = _entry(curve, data, plan)
    return fitted


@dataclass(frozen=True)
class _Data:
    """One finding's rows: labels (N,) 1 or 0, scores (N,), patients (N,)."""

    labels: Floats
    scores: Floats
    patients: NDArray[np.str_]

    def where(self, keep: NDArray[np.bool_]) -> _Data:
        return _Data(self.labels[keep], self.scores[keep], self.patients[keep])


def _too_few(data: _Data, plan: Plan) -> str:
    least = LEAST_PATIENTS[plan.method]
    for label, kind in ((1, "with"), (0, "without")):
        count = count_patients(data.patients, data.labels == label)
        if count < least:
            patients = "patient" if count == 1 else "patients"
            return f"{count} {patients} {kind} the finding, {plan.method} needs {least}"
    return ""


def _entry(curve: Curve, data: _Data, plan: Plan) -> dict[str, Any]:
    threshold = choose(data.labels, data.scores, plan.rule)
    return {
        **curve.to_dict(),
        "threshold": threshold,
        "probability_at_threshold": round(curve.probability(threshold), _DIGITS),
        "n": len(data.labels),
        "positives": int(data.labels.sum()),
        "patients": len(np.unique(data.patients)),
        "cross_validated": _cross_validated(data, plan),
    }


def _cross_validated(data: _Data, plan: Plan) -> dict[str, Any]:
    """Probabilities and calls of each fold by what was fitted on the others, measured together.

    ``before`` takes the sigmoid of the score for a probability, as was done for PadChest in the TIER paper;
    ``prevalence`` gives every row the share of positives among the rows fitted on.
    """
    folds = patient_folds(data.patients, data.labels, plan.folds, plan.seed)
    after, prevalence, calls = np.full((3, len(folds)), np.nan)
    for fold in range(plan.folds):
        inside, rest = folds == fold, data.where(folds != fold)
        share = float(rest.labels.mean())
        curve = fit(plan.method, rest.labels, rest.scores)
        # Where the other folds give no curve, they give no more than their prevalence.
        after[inside] = [curve.probability(x) if curve else share for x in data.scores[inside].tolist()]
        prevalence[inside] = share
        calls[inside] = data.scores[inside] >= choose(rest.labels, rest.scores, plan.rule)
    before = 0.5 * (1 + np.tanh(0.5 * data.scores))
    measured: dict[str, Any] = {"folds": plan.folds, "seed": plan.seed}
    for name, predicted in (("before", before), ("prevalence", prevalence), ("after", after)):
        measured[name] = _measure(probabilities(data.labels[:, None], predicted[:, None]), len(folds))
    at_threshold = _measure(decisions(data.labels[:, None], calls[:, None]), len(folds))
    return measured | {name: at_threshold[name] for name in ("sensitivity", "specificity")}


def _measure(statistic: Any, rows: int) -> dict[str, float]:
    return {
        name: round(float(values[0, 0]), _DIGITS) for name, values in statistic(np.ones((1, rows))).items()
    }
