"""Put estimates beside their counts: the numbers of one table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.evaluation.prevalence import predictive_values
from tier_cli.findings.load import NO_FINDINGS
from tier_cli.metrics.standard_errors import ratio_interval
from tier_cli.metrics.statistics import AT_PREVALENCE, RECHOSEN

if TYPE_CHECKING:
    from tier_cli.evaluation.thresholds import Thresholds
    from tier_cli.evaluation.truth import Labelled
    from tier_cli.metrics.bootstrap import Estimate

# Metrics as people write them, in the order of tables.
HEADINGS = {
    "auc": "AUC",
    "auprc": "AUPRC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "ppv_at_prevalence": "PPV at prevalence",
    "npv_at_prevalence": "NPV at prevalence",
    "lr_positive": "LR+",
    "lr_negative": "LR-",
    "f1": "F1",
    "mcc": "MCC",
    "threshold_rechosen": "threshold, chosen anew",
    "sensitivity_rechosen": "sensitivity, threshold chosen anew",
    "specificity_rechosen": "specificity, threshold chosen anew",
    "brier": "Brier",
    "ece": "ECE",
    "ece_if_calibrated": "ECE if calibrated",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
}
# Their mean over findings says nothing, and a higher one is not a better model.
LIKELIHOOD_RATIOS = ("lr_positive", "lr_negative")
NOT_AVERAGED = (*LIKELIHOOD_RATIOS, RECHOSEN[0])
NOT_SUBTRACTED = (*NOT_AVERAGED, *RECHOSEN, "ece_if_calibrated", "calibration_slope", "calibration_intercept")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: resamplings of patients with replacement, and the level."""

    replicates: int = 1000
    seed: int = 0
    level: float = 0.95


@dataclass(frozen=True)
class Metric:
    """A number and its interval; all NaN if only one class is present.

    Parameters
    ----------
    value, low, high
        The number and the bounds of its interval.
    replicates
        The resamplings that held both classes (for a mean, of every finding).
    p, p_holm
        Of a difference: the two-sided p value, and the same corrected by Holm over the findings.
    findings
        Of a mean: the number of findings.
    """

    value: float
    low: float
    high: float
    replicates: int
    p: float | None = None
    p_holm: float | None = None
    findings: int | None = None


@dataclass(frozen=True)
class Row:
    """The numbers of one finding.

    Parameters
    ----------
    finding
        Its id.
    n, positives
        Units with a label and a score, and those with label 1.
    positive_patients, negative_patients
        Patients with a unit of label 1, and with one of label 0.
    metrics
        By name.
    threshold
        The lowest score that is called present; NaN = none.
    prevalence
        The share of positives at which `AT_PREVALENCE` hold; NaN = none was given.
    """

    finding: str
    n: int
    positives: int
    positive_patients: int
    negative_patients: int
    metrics: dict[str, Metric]
    threshold: float = math.nan
    prevalence: float = math.nan

    @property
    def both_classes(self) -> bool:
        """Whether there are positives and negatives to rank."""
        return 0 < self.positives < self.n


@dataclass(frozen=True)
class Measured:
    """The numbers of one score set, or of the difference of two, on images, studies or patients.

    Parameters
    ----------
    name
        The model or file, or one minus the other.
    n, patients
        Units that have a score and a label, and their patients; a finding has fewer if its label is blank.
    rows
        One per finding.
    macro
        The mean of each metric over the findings with both classes.
    thresholds
        Thresholds of the calls, if any.
    macro_without
        The mean without `left_out`; empty if nothing is left out.
    """

    name: str
    n: int
    patients: int
    rows: tuple[Row, ...]
    macro: dict[str, Metric]
    thresholds: Thresholds | None = None
    macro_without: dict[str, Metric] = field(default_factory=dict)

    @property
    def averaged(self) -> int:
        """The number of findings in the macro mean."""
        return sum(row.both_classes for row in self.rows)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The labels in the macro mean that are not findings, such as ``normal``."""
        return tuple(row.finding for row in self.rows if row.both_classes and row.finding in NO_FINDINGS)


def measured(
    name: str,
    truth: Labelled,
    scored: NDArray[np.bool_],
    estimates: Mapping[str, Estimate],
    level: float,
    *,
    thresholds: Thresholds | None = None,
    tested: bool = False,
    prevalence: Mapping[str, float] | None = None,
) -> Measured:
    """Put estimates beside their counts.

    Parameters
    ----------
    name
        The score set or difference.
    truth, scored
        The labels (N, F), and which of them have a score.
    estimates
        By metric, over F findings.
    level
        Level of the intervals.
    thresholds
        Thresholds of the calls.
    tested
        The estimates are differences: add p values, corrected by Holm over the findings.
    prevalence
        Shares of positives, by finding, at which predictive values are wanted.
    """
    averaged = {metric: one for metric, one in estimates.items() if metric not in NOT_AVERAGED}
    table = {metric: as_metrics(estimate, level, tested) for metric, estimate in estimates.items()}
    table.update(_likelihood_ratios(table))
    shares = np.array([(prevalence or {}).get(finding, np.nan) for finding in truth.findings])
    if np.isfinite(shares).any():
        table.update(_at_prevalence(table, shares))
    values = np.full(len(truth.findings), np.nan) if thresholds is None else thresholds.values
    rows = []
    for number, finding in enumerate(truth.findings):
        known = np.where(scored[:, number], truth.labels[:, number], np.nan)
        metrics = {metric: column[number] for metric, column in table.items()}
        positives = int((known == 1).sum())
        n = positives + int((known == 0).sum())
        positive, negative = (patients_of(known, truth.patients, label) for label in (1, 0))
        rows.append(
            Row(finding, n, positives, positive, negative, metrics, float(values[number]), shares[number])
        )
    counted = np.asarray((scored & np.isfinite(truth.labels)).any(axis=1))
    found = Measured(
        name,
        int(counted.sum()),
        len(np.unique(truth.patients[counted])),
        tuple(rows),
        {metric: _mean(one, level, tested) for metric, one in averaged.items()},
        thresholds,
    )
    if len(found.left_out) in (0, found.averaged):
        return found
    kept = [place for place, finding in enumerate(truth.findings) if finding not in found.left_out]
    without = {metric: _mean(one.only(kept), level, tested) for metric, one in averaged.items()}
    return replace(found, macro_without=without)


def _likelihood_ratios(table: Mapping[str, Sequence[Metric]]) -> dict[str, list[Metric]]:
    """Give likelihood ratios the intervals that those of sensitivity and specificity imply."""
    if not set(LIKELIHOOD_RATIOS) <= set(table):
        return {}
    found, missed = (_bounds(table["sensitivity"], complement) for complement in (False, True))
    right, wrong = (_bounds(table["specificity"], complement) for complement in (False, True))
    return {
        name: [
            replace(metric, low=float(low), high=float(high)) if np.isfinite(metric.value) else metric
            for metric, (low, high) in zip(table[name], ratio_interval(*sides), strict=True)
        ]
        for name, sides in (("lr_positive", (found, wrong)), ("lr_negative", (missed, right)))
    }


def _at_prevalence(table: Mapping[str, Sequence[Metric]], shares: Floats) -> dict[str, list[Metric]]:
    """Add predictive values at the given prevalences (F,) if there are calls."""
    if not {"sensitivity", "specificity"} <= set(table):
        return {}
    found = predictive_values(
        _bounds(table["sensitivity"], False), _bounds(table["specificity"], False), shares
    )
    counts = [one.replicates for one in table["sensitivity"]]
    return {
        name: [
            Metric(float(value), float(low), float(high), count)
            for (value, low, high), count in zip(each, counts, strict=True)
        ]
        for name, each in zip(AT_PREVALENCE, found, strict=True)
    }


def _bounds(metrics: Sequence[Metric], complement: bool) -> Floats:
    """Return value, low and high (F, 3), or 1 minus them."""
    bounds = np.array([[one.value, one.low, one.high] for one in metrics]).reshape(-1, 3)
    return 1 - bounds[:, [0, 2, 1]] if complement else bounds


def _mean(estimate: Estimate, level: float, tested: bool) -> Metric:
    mean = as_metrics(estimate.macro, level, tested)[0]
    return replace(mean, p_holm=None, findings=int(np.isfinite(estimate.point).sum()))


def patients_of(labels: Floats, patients: NDArray[np.str_], label: int) -> int:
    """Count the patients with at least one row (N,) that has the label."""
    return len(np.unique(patients[labels == label]))


def holm(p_values: Floats) -> Floats:
    """Correct p values (F,) for multiple testing (Holm, 1979); NaN stays NaN and does not count."""
    corrected = np.full(p_values.shape, np.nan)
    order = np.argsort(p_values, kind="stable")[: int(np.isfinite(p_values).sum())]
    steps = np.minimum(1.0, p_values[order] * np.arange(order.size, 0, -1))
    corrected[order] = np.maximum.accumulate(steps)
    return corrected


def as_metrics(estimate: Estimate, level: float, tested: bool = False) -> list[Metric]:
    """Return each column's value, interval and, if `tested`, p values."""
    used = estimate.measured
    bounds = estimate.interval(level)
    found = [
        Metric(float(value), float(low), float(high), int(count))
        for value, (low, high), count in zip(estimate.point, bounds, used, strict=True)
    ]
    if not tested:
        return found
    plain = estimate.p_values()
    pairs = zip(found, plain.tolist(), holm(plain).tolist(), strict=True)
    return [replace(metric, p=p, p_holm=corrected) for metric, p, corrected in pairs]
