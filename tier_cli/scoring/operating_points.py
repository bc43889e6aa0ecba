"""Choose operating points: the thresholds from which a score is called present."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

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
    criterion = _criterion(
        counts.true_positives, counts.false_positives, counts.positives, counts.negatives, rule.name
    )
    return _between(counts.thresholds, int(np.argmax(criterion)))


def choose_weighted(labels: Floats, scores: Floats, weights: NDArray[np.float32], rule: Rule) -> Floats:
    """Choose the threshold of one finding for each weighting of its rows, as `choose` does.

    Parameters
    ----------
    labels, scores
        (N,) as for `choose`.
    weights
        (N, R) how often each row counts; in a bootstrap replicate, how often it was drawn.
    rule
        The rule.

    Returns
    -------
    (R,); NaN where a weighting leaves a class empty.

    Examples
    --------
    The second weighting leaves out the highest positive, the third both positives:

    >>> labels, scores = np.array([0.0, 1, 0, 1]), np.array([0.1, 0.4, 0.5, 0.9])
    >>> weights = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0]], dtype=np.float32)
    >>> choose_weighted(labels, scores, weights, Rule("youden")).round(2).tolist()
    [0.7, 0.25, nan]
    """
    known = np.flatnonzero(np.isfinite(scores) & ((labels == 0) | (labels == 1)))
    order = known[np.argsort(-scores[known], kind="stable")]
    positive = labels[order] == 1
    classes = np.stack([labels == 1, labels == 0]) & np.isfinite(scores)
    both = (classes.astype(np.float32) @ weights > 0).all(axis=0)
    chosen = np.full(weights.shape[1], np.nan)
    if both.any():
        drawn = weights if both.all() else weights[:, both]
        called = _rows_called(scores[order], order, positive, drawn, rule)
        chosen[both] = _midway(scores[order], order, called, drawn)
    return chosen


def _rows_called(
    values: Floats,
    order: NDArray[np.intp],
    positive: NDArray[np.bool_],
    drawn: NDArray[np.float32],
    rule: Rule,
) -> NDArray[np.intp]:
    """Return how many rows (R,), from the highest score down, the rule calls under each weighting."""
    # Equal scores are called together: group them.
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    ends = np.append(starts[1:], values.size)
    has_positive = np.add.reduceat(positive, starts, dtype=np.intp) > 0
    has_negative = np.add.reduceat(~positive, starts, dtype=np.intp) > 0
    if rule.target is not None and rule.name == "specificity":
        places = np.flatnonzero(has_negative)
        wrong = sums_to(order, ~positive, ends[places], drawn)
        too_many = wrong > wrong[-1] - _least(rule.target, wrong[-1])
        first = starts[places[np.argmax(too_many, axis=0)]]
        called: NDArray[np.intp] = np.where(too_many.any(axis=0), first, values.size)
        return called
    if rule.target is not None:
        places = np.flatnonzero(has_positive)
        found = sums_to(order, positive, ends[places], drawn)
        reached = np.argmax(found >= _least(rule.target, found[-1]), axis=0)
        called = ends[places[reached]]
        return called
    # Each criterion is highest after a positive that no further positive follows.
    places = np.flatnonzero(has_positive & np.append(has_negative[1:], True))
    found, wrong = (sums_to(order, rows, ends[places], drawn) for rows in (positive, ~positive))
    rest = drawn[order[ends[places[-1]] :]].sum(axis=0)
    criterion = _criterion(found, wrong, found[-1], wrong[-1] + rest, rule.name)
    # A row that was not drawn must not become a threshold that calls nothing.
    called = ends[places[np.argmax(np.where(found + wrong > 0, criterion, -np.inf), axis=0)]]
    return called


def sums_to(
    order: NDArray[np.intp], rows: NDArray[np.bool_], ends: NDArray[np.intp], weights: NDArray[np.float32]
) -> Floats:
    """Sum weights over the first rows of an order, for several numbers of rows.

    Parameters
    ----------
    order
        (N,) row numbers.
    rows
        (N,) which of these count.
    ends
        (K,) numbers of first rows, ascending.
    weights
        (N, R).

    Returns
    -------
    (K, R).

    Examples
    --------
    >>> weights = np.array([[1], [2], [3]], dtype=np.float32)
    >>> sums_to(np.array([2, 0, 1]), np.array([True, False, True]), np.array([1, 3]), weights).tolist()
    [[3.0], [5.0]]
    """
    from scipy.sparse import csr_array

    counted = np.flatnonzero(rows[: ends[-1]]) if ends.size else np.zeros(0, dtype=np.intp)
    bounds = np.append(0, np.searchsorted(counted, ends))
    ones = np.ones(counted.size, dtype=np.float32)
    parts = csr_array((ones, order[counted], bounds), shape=(ends.size, len(weights)))
    sums: Floats = (parts @ weights).astype(np.float64)
    # Row by row: numpy's cumsum along the first axis is many times slower.
    for before, here in pairwise(sums):
        here += before
    return sums


def _least(share: float, total: Floats) -> Floats:
    """Return the least whole number whose quotient by `total` reaches the share."""
    below = np.floor(share * total)
    return np.where(below / total >= share, below, below + 1)


def _midway(
    values: Floats, order: NDArray[np.intp], called: NDArray[np.intp], drawn: NDArray[np.float32]
) -> Floats:
    """Return thresholds (R,) between the lowest row drawn and called and the highest that is not called."""
    upper, lower = _nearest(order, called - 1, -1, drawn), _nearest(order, called, 1, drawn)
    lowest, highest = values[upper.clip(0)], values[lower.clip(max=order.size - 1)]
    middle = highest + (lowest - highest) / 2
    halfway = (highest < middle) & (middle <= lowest) & (lower < order.size)
    between: Floats = np.where(halfway, middle, lowest)
    return np.where(upper < 0, np.nextafter(highest, np.inf), between)


def _nearest(
    order: NDArray[np.intp], first: NDArray[np.intp], step: int, drawn: NDArray[np.float32]
) -> NDArray[np.intp]:
    """Return the nearest place (R,), from `first` on, whose row was drawn; -1 or N if there is none."""
    places = first.copy()
    open_ones = np.flatnonzero((places >= 0) & (places < order.size))
    while open_ones.size:
        absent = drawn[order[places[open_ones]], open_ones] == 0
        places[open_ones[absent]] += step
        open_ones = open_ones[absent]
        open_ones = open_ones[(places[open_ones] >= 0) & (places[open_ones] < order.size)]
    return places


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


def _criterion(
    found: Floats, wrong: Floats, positives: int | Floats, negatives: int | Floats, name: str
) -> Floats:
    if name == "youden":
        # Whole numbers, so that equal values compare equal.
        return found * negatives - wrong * positives
    if name == "f1":
        return 2 * found / (found + wrong + positives)
    called = found + wrong
    passed = positives + negatives - called
    product = called * passed * positives * negatives
    numerator = found * negatives - wrong * positives
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
