"""Operating points: from which score on a finding is called present."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tier_cli.errors import UsageError

RULES = ("youden", "f1", "mcc", "sensitivity=X", "specificity=X")
_FIXED = ("sensitivity", "specificity")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """How a threshold is chosen; `target` is the share that a fixed sensitivity or specificity must reach."""

    name: str
    target: float | None = None

    def __str__(self) -> str:
        return self.name if self.target is None else f"{self.name}={self.target:g}"


@dataclass(frozen=True)
class Counts:
    """Rights and wrongs at each threshold of a finding, (K,) each, from the highest threshold to the lowest.

    `thresholds` are the distinct scores, so each is the lowest score that it calls.
    """

    thresholds: Floats
    true_positives: Floats
    false_positives: Floats
    positives: int
    negatives: int


def parse_rule(text: str) -> Rule:
    """Read ``youden``, ``f1``, ``mcc``, ``sensitivity=X`` or ``specificity=X``, 0 < X <= 1.

    Raises
    ------
    UsageError
        The text is none of them.
    """
    name, equals, value = text.strip().lower().partition("=")
    name = name.strip()
    if not equals and name in ("youden", "f1", "mcc"):
        return Rule(name)
    if name in _FIXED and equals:
        try:
            target = float(value)
        except ValueError:
            target = -1.0
        if 0 < target <= 1:
            return Rule(name, target)
        raise UsageError(
            f"{text!r} gives no share above 0 and up to 1", where="operating point", remedy=f"e.g. {name}=0.9"
        )
    raise UsageError(
        f"{text!r} is no rule for an operating point",
        where="operating point",
        remedy=f"choose one of {', '.join(RULES)}",
    )


def choose(labels: ArrayLike, scores: ArrayLike, rule: str | Rule) -> float:
    """Choose the threshold of one finding; it is called present where score >= threshold.

    The threshold lies midway between the lowest score that is called and the highest that is not, so that the
    last digit of a score, which may differ between machines, does not decide.

    Parameters
    ----------
    labels
        (N,) 1 = present, 0 = absent; rows with any other value, NaN included, are left out.
    scores
        (N,) higher = more likely present; rows whose score is not finite are left out.
    rule
        ``youden`` (Youden 1950: sensitivity + specificity), ``f1``, ``mcc``: the threshold where it is
        highest, among equal ones the one with the fewest calls. ``sensitivity=X``: the highest threshold that
        reaches it. ``specificity=X``: the lowest threshold that reaches it.

    Raises
    ------
    UsageError
        The rule is unknown.
    ValueError
        One class only, or labels and scores of different length.
    """
    rule = parse_rule(rule) if isinstance(rule, str) else rule
    counts = count(labels, scores)
    if rule.target is not None and rule.name == "specificity":
        # As a quotient of counts: 1 - 1/10 is not 0.9 in floating point.
        passed = (counts.negatives - counts.false_positives) / counts.negatives
        return _between(counts.thresholds, int((passed >= rule.target).sum()) - 1)
    if rule.target is not None:
        found = counts.true_positives / counts.positives
        return _between(counts.thresholds, int(np.argmax(found >= rule.target)))
    # argmax takes the first of equals: the highest threshold.
    return _between(counts.thresholds, int(np.argmax(_criterion(counts, rule.name))))


def count(labels: ArrayLike, scores: ArrayLike) -> Counts:
    """Count rights and wrongs at every distinct score; rows and raises as in `choose`."""
    truth = np.asarray(labels, dtype=np.float64)
    values = np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise ValueError(f"labels {truth.shape} and scores {values.shape} must be of one length")
    known = np.isfinite(values) & ((truth == 0) | (truth == 1))
    truth, values = truth[known], values[known]
    positives = int(truth.sum())
    if positives in (0, len(truth)):
        raise ValueError("no operating point without both positives and negatives")
    order = np.argsort(-values, kind="stable")
    truth, values = truth[order], values[order]
    # Equal scores are called together: only the last of them closes a threshold.
    last = np.append(values[1:] != values[:-1], True)
    found = np.cumsum(truth)[last]
    called = np.flatnonzero(last) + 1.0
    return Counts(values[last], found, called - found, positives, len(truth) - positives)


def _criterion(counts: Counts, name: str) -> Floats:
    found, wrong = counts.true_positives, counts.false_positives
    if name == "youden":
        # In whole numbers, so that equal values compare as equal.
        return found * counts.negatives - wrong * counts.positives
    if name == "f1":
        return 2 * found / (found + wrong + counts.positives)
    called = found + wrong
    passed = counts.positives + counts.negatives - called
    product = called * passed * counts.positives * counts.negatives
    numerator = found * counts.negatives - wrong * counts.positives
    # With everything called MCC is 0 over 0, and 0 by convention.
    return np.divide(numerator, np.sqrt(product), out=np.zeros_like(found), where=product > 0)


def _between(thresholds: Floats, last_called: int) -> float:
    """A threshold that calls `thresholds[: last_called + 1]` and nothing below; -1 calls nothing."""
    if last_called < 0:
        return float(np.nextafter(thresholds[0], np.inf))
    upper = thresholds[last_called]
    if last_called + 1 == len(thresholds):
        return float(upper)
    lower = thresholds[last_called + 1]
    middle = lower + (upper - lower) / 2
    return float(middle if lower < middle <= upper else upper)
