"""Choose operating points: the thresholds from which a score is called present."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tier_cli.errors import UsageError, did_you_mean

RULES = ("youden", "f1", "mcc", "sensitivity=X", "specificity=X")
_FIXED = ("sensitivity", "specificity")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """A rule that chooses a threshold.

    Parameters
    ----------
    name
        ``youden``, ``f1``, ``mcc``, ``sensitivity`` or ``specificity``.
    target
        For ``sensitivity`` and ``specificity``: the share that must be reached.
    """

    name: str
    target: float | None = None

    def __str__(self) -> str:
        return self.name if self.target is None else f"{self.name}={self.target:g}"


@dataclass(frozen=True)
class Counts:
    """The counts of one finding at each of K thresholds, from the highest threshold to the lowest.

    Parameters
    ----------
    thresholds
        (K,) the distinct scores; each is the lowest score that it calls present.
    true_positives, false_positives
        (K,) rows called present, by label.
    positives, negatives
        All rows, by label.
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
        If the text is none of these.

    Examples
    --------
    >>> parse_rule("sensitivity=0.9")
    Rule(name='sensitivity', target=0.9)
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
            f"{text!r} does not give a share above 0 and at most 1",
            where="operating point",
            remedy=f"e.g. {name}=0.9",
        )
    raise UsageError(
        f"{text!r} is not a rule for an operating point{did_you_mean(text, RULES)}",
        where="operating point",
        remedy=f"choose one of {', '.join(RULES)}",
    )


def choose(labels: ArrayLike, scores: ArrayLike, rule: str | Rule) -> float:
    """Choose the threshold of one finding, which is called present where score >= threshold.

    The threshold lies midway between the lowest score that is called and the highest that is not, so that the
    last digit of a score, which may differ between machines, does not change a call.

    Parameters
    ----------
    labels
        (N,) 1 = present, 0 = absent. Rows with any other value, including NaN, are left out.
    scores
        (N,) higher = more likely present. Rows whose score is not finite are left out.
    rule
        ``youden`` (Youden 1950: sensitivity + specificity), ``f1`` and ``mcc`` choose the threshold with the
        highest value; of equal ones, that with the fewest calls. ``sensitivity=X`` chooses the highest
        threshold that reaches X, ``specificity=X`` the lowest.

    Raises
    ------
    UsageError
        If the rule is unknown.
    ValueError
        If there is only one class, or labels and scores differ in length.

    Examples
    --------
    >>> labels, scores = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.6, 0.9]
    >>> round(choose(labels, scores, "youden"), 3), round(choose(labels, scores, "sensitivity=1"), 3)
    (0.5, 0.25)
    """
    rule = parse_rule(rule) if isinstance(rule, str) else rule
    counts = count(labels, scores)
    if rule.target is not None and rule.name == "specificity":
        # A quotient of counts, because 1 - 1/10 is not 0.9 in floating point.
        passed = (counts.negatives - counts.false_positives) / counts.negatives
        return _between(counts.thresholds, int((passed >= rule.target).sum()) - 1)
    if rule.target is not None:
        found = counts.true_positives / counts.positives
        return _between(counts.thresholds, int(np.argmax(found >= rule.target)))
    # argmax returns the first of equal values: the highest threshold.
    return _between(counts.thresholds, int(np.argmax(_criterion(counts, rule.name))))


def count(labels: ArrayLike, scores: ArrayLike) -> Counts:
    """Count true and false positives at every distinct score; rows and errors are those of `choose`.

    Examples
    --------
    >>> counts = count([0, 1, 1, 0], [0.1, 0.8, 0.4, 0.4])
    >>> counts.thresholds.tolist(), counts.true_positives.tolist(), counts.false_positives.tolist()
    ([0.8, 0.4, 0.1], [1.0, 2.0, 2.0], [0.0, 1.0, 2.0])
    """
    truth = np.asarray(labels, dtype=np.float64)
    values = np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise ValueError(f"labels {truth.shape} and scores {values.shape} must have the same length")
    known = np.isfinite(values) & ((truth == 0) | (truth == 1))
    truth, values = truth[known], values[known]
    positives = int(truth.sum())
    if positives in (0, len(truth)):
        raise ValueError("an operating point needs both positives and negatives")
    order = np.argsort(-values, kind="stable")
    truth, values = truth[order], values[order]
    # Equal scores are called together, so only the last of them is a threshold.
    last = np.append(values[1:] != values[:-1], True)
    found = np.cumsum(truth)[last]
    called = np.flatnonzero(last) + 1.0
    return Counts(values[last], found, called - found, positives, len(truth) - positives)


def _criterion(counts: Counts, name: str) -> Floats:
    found, wrong = counts.true_positives, counts.false_positives
    if name == "youden":
        # Whole numbers, so that equal values compare equal.
        return found * counts.negatives - wrong * counts.positives
    if name == "f1":
        return 2 * found / (found + wrong + counts.positives)
    called = found + wrong
    passed = counts.positives + counts.negatives - called
    product = called * passed * counts.positives * counts.negatives
    numerator = found * counts.negatives - wrong * counts.positives
    # If everything is called, MCC is 0/0, which is 0 by convention.
    return np.divide(numerator, np.sqrt(product), out=np.zeros_like(found), where=product > 0)


def _between(thresholds: Floats, last_called: int) -> float:
    """Return a threshold that calls `thresholds[: last_called + 1]` and nothing lower; -1 calls nothing."""
    if last_called < 0:
        return float(np.nextafter(thresholds[0], np.inf))
    upper = thresholds[last_called]
    if last_called + 1 == len(thresholds):
        return float(upper)
    lower = thresholds[last_called + 1]
    middle = lower + (upper - lower) / 2
    return float(middle if lower < middle <= upper else upper)
