"""Give predictive values at a prevalence of the user's choice, by Bayes' theorem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.errors import UsageError
from tier_cli.metrics.standard_errors import ratio_interval

if TYPE_CHECKING:
    from tier_cli.findings.schema import FindingSet
    from tier_cli.metrics.ranking import Floats

NO_CALLS = (
    "no predictive values at a prevalence, because there are no calls: choose thresholds with --select-on"
)


def prevalence_by_finding(
    given: float | Mapping[str, float] | None, findings: FindingSet, measured: Sequence[str]
) -> dict[str, float]:
    """Return the prevalence of each measured finding that has one.

    Parameters
    ----------
    given
        One share for all findings, or shares by id or alias.
    findings
        The finding set, whose names and aliases are matched.
    measured
        Ids of the findings that are measured.

    Raises
    ------
    UsageError
        A name is not a finding of the set, or two names are the same finding.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        return dict.fromkeys(measured, given)
    found: dict[str, float] = {}
    for name, share in given.items():
        finding = findings.match(name)
        if finding is None:
            raise UsageError(
                f"{name!r} is not a finding of the finding set {findings.name}",
                where="--prevalence",
                remedy="use ids or aliases that `tier findings show` lists",
            )
        if finding.id in found:
            raise UsageError(
                f"{finding.id} has two prevalences", where="--prevalence", remedy="keep one of them"
            )
        found[finding.id] = share
    return {name: found[name] for name in measured if name in found}


def predictive_values(sensitivity: Floats, specificity: Floats, prevalence: Floats) -> tuple[Floats, Floats]:
    """Return PPV and NPV at a prevalence, with intervals.

    At a given prevalence, the odds of a predictive value are a likelihood ratio times the odds of the
    prevalence, so the interval is that of the likelihood ratio (Mercaldo et al., 2007, with the ratio's
    interval of Donner & Zou, 2012).

    Parameters
    ----------
    sensitivity, specificity
        (F, 3) value, low and high.
    prevalence
        (F,) between 0 and 1; NaN = none.

    Returns
    -------
    Two arrays (F, 3) of value, low and high; NaN where nothing is called present (PPV) or absent (NPV).

    Examples
    --------
    Half of the positives are found and a tenth of the negatives called present, at a prevalence of 1 in 11:

    >>> both = np.array([[0.5, 0.4, 0.6]]), np.array([[0.9, 0.85, 0.94]])
    >>> ppv, npv = predictive_values(*both, np.array([1 / 11]))
    >>> ppv.round(2).tolist(), npv.round(2).tolist()
    ([[0.33, 0.24, 0.45]], [[0.95, 0.94, 0.96]])
    """
    odds = prevalence / (1 - prevalence)
    ppv = _share(_complement(specificity), sensitivity, 1 / odds)
    npv = _share(_complement(sensitivity), specificity, odds)
    return ppv, npv


def _share(wrong: Floats, right: Floats, weight: Floats) -> Floats:
    """Return right / (right + weight * wrong) with its interval, from those of wrong and right (F, 3)."""
    with np.errstate(invalid="ignore"):
        value = right[:, 0] / (right[:, 0] + weight * wrong[:, 0])
    low, high = (1 / (1 + weight * bound) for bound in ratio_interval(wrong, right).T[::-1])
    bounds = np.stack([np.minimum(low, value), np.maximum(high, value)], axis=1)
    return np.column_stack([value, np.where(np.isfinite(value)[:, None], bounds, np.nan)])


def _complement(bounds: Floats) -> Floats:
    return 1 - bounds[:, [0, 2, 1]]
