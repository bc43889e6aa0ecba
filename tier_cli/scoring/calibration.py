"""Turn scores into probabilities and calls, with a calibration that was fitted for exactly this use."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from tier_cli.errors import CheckpointError
from tier_cli.results.record import Reference

if TYPE_CHECKING:
    from tier_cli.results.record import FindingScore

_NOT_CALIBRATED = "no probability and no call: "
_FILE = "calibration.json"
_LARGEST = 1e12


@dataclass(frozen=True)
class CalibrationKey:
    """The facts that a calibration and the scores it is applied to must share.

    Parameters
    ----------
    weights, prompts
        Hashes of the weights and of the finding set.
    rendering
        The checkpoint's rendering of pixels.
    unit
        ``image`` or ``study``.
    ensemble
        Hash of the ensemble; empty for a single model.
    adaptation
        Hash of the checkpoint's adaptation; empty if it has none.
    """

    weights: str
    rendering: str
    prompts: str
    unit: str
    ensemble: str = ""
    adaptation: str = ""


class Curve(Protocol):
    """A non-decreasing map from scores to probabilities."""

    def probability(self, score: float) -> float:
        """Return the probability for one score."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return the curve's fields in calibration.json, including ``method``."""
        ...


@dataclass(frozen=True)
class Platt:
    """The logistic curve 1 / (1 + exp(-(a score + b))) (Platt 1999).

    Examples
    --------
    >>> curve = Platt(a=10.0, b=-1.0)
    >>> [round(curve.probability(score), 3) for score in (-0.1, 0.1, 0.3)]
    [0.119, 0.5, 0.881]
    """

    a: float
    b: float

    def probability(self, score: float) -> float:
        """Return the probability for one score."""
        x = self.a * score + self.b
        # Choose the form whose exponential cannot overflow.
        return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))

    def to_dict(self) -> dict[str, Any]:
        """Return the curve's fields in calibration.json."""
        return {"method": "platt", "a": self.a, "b": self.b}


@dataclass(frozen=True)
class Isotonic:
    """Straight lines between knots, constant beyond the first and the last.

    Parameters
    ----------
    scores
        Scores of the K knots, ascending.
    probabilities
        Probabilities of the K knots, non-decreasing.

    Examples
    --------
    >>> curve = Isotonic(scores=(0.0, 0.2), probabilities=(0.1, 0.5))
    >>> [round(curve.probability(score), 3) for score in (-1.0, 0.1, 1.0)]
    [0.1, 0.3, 0.5]
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def probability(self, score: float) -> float:
        """Return the probability for one score."""
        right = bisect_right(self.scores, score)
        if right == 0 or right == len(self.scores):
            return self.probabilities[right - (right > 0)]
        (x0, x1), (y0, y1) = self.scores[right - 1 : right + 1], self.probabilities[right - 1 : right + 1]
        return y0 + (y1 - y0) * (score - x0) / (x1 - x0)

    def to_dict(self) -> dict[str, Any]:
        """Return the curve's fields in calibration.json."""
        return {"method": "isotonic", "scores": list(self.scores), "probabilities": list(self.probabilities)}


@dataclass(frozen=True)
class Calibrated:
    """The calibration of one finding: its curve and its operating point.

    Parameters
    ----------
    curve
        Maps scores to probabilities.
    threshold
        The finding is called present where score >= threshold.
    reference
        The threshold with the ordinary range of the finding; None in calibrations without one.
    """

    curve: Curve
    threshold: float
    reference: Reference | None = None


@dataclass(frozen=True)
class Calibration:
    """One curve and one operating point per finding.

    Parameters
    ----------
    findings
        By finding id; empty if no calibration applies.
    reason
        Why no calibration applies; empty if one does.

    Examples
    --------
    >>> from tier_cli.results.record import FindingScore
    >>> calibration = Calibration({"effusion": Calibrated(Platt(10.0, -1.0), threshold=0.05)})
    >>> (calibrated,) = calibration.apply([FindingScore("effusion", 0.1)])
    >>> calibrated.probability, calibrated.call
    (0.5, True)
    """

    findings: Mapping[str, Calibrated]
    reason: str = ""

    @property
    def note(self) -> str:
        """The note for results without probabilities; empty if a calibration applies."""
        return _NOT_CALIBRATED + self.reason if self.reason else ""

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, as `from_dict` reads them."""
        findings = {name: _entry(known) for name, known in self.findings.items()}
        return {"findings": findings, "reason": self.reason}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Calibration:
        """Read the fields again; raises `CheckpointError` if they are not valid."""
        reason = str(content.get("reason") or "")
        return cls({}, reason) if reason else cls(_findings(content.get("findings")))

    def apply(self, scores: Iterable[FindingScore]) -> tuple[FindingScore, ...]:
        """Add the probability and the call to findings that have a curve."""
        return tuple(self._one(score) for score in scores)

    def _one(self, score: FindingScore) -> FindingScore:
        known = self.findings.get(score.finding)
        if known is None:
            return score
        probability = known.curve.probability(score.score)
        call = score.score >= known.threshold
        return replace(score, probability=probability, call=call, reference=known.reference)


def match_calibration(content: Mapping[str, Any] | None, key: CalibrationKey) -> Calibration:
    """Return a checkpoint's calibration if it was fitted for `key`, else an empty one with the reason.

    Parameters
    ----------
    content
        The content of calibration.json: ``key`` with the fields of `CalibrationKey`, and ``findings``, which
        maps each id to the fields of its curve and ``threshold``, a score. None if there is no such file.
    key
        Describes the scores to calibrate.

    Raises
    ------
    CheckpointError
        If the content is not valid.

    Examples
    --------
    >>> key = CalibrationKey("1f0c", "voi", "77aa", "image")
    >>> entry = {"method": "platt", "a": 10.0, "b": -1.0, "threshold": 0.05}
    >>> content = {"key": vars(key), "findings": {"effusion": entry}}
    >>> match_calibration(content, key).findings["effusion"].curve
    Platt(a=10.0, b=-1.0)
    >>> match_calibration(content, replace(key, unit="study")).note
    'no probability and no call: the calibration does not match the unit of this run'
    """
    if content is None:
        return Calibration({}, "this checkpoint has no calibration")
    fitted = content.get("key")
    if not isinstance(fitted, Mapping):
        raise _invalid("has no table 'key'")
    others = [name for name, value in asdict(key).items() if (fitted.get(name) or "") != value]
    if others:
        return Calibration({}, f"the calibration does not match the {_listed(others)} of this run")
    return Calibration(_findings(content.get("findings")))


def _findings(table: Any) -> dict[str, Calibrated]:
    if not isinstance(table, Mapping) or not table:
        raise _invalid("'findings' must have an entry for each finding")
    findings = {}
    for name, entry in table.items():
        try:
            threshold = _number(entry["threshold"])
            curve = _curve(entry)
            known = Calibrated(curve, threshold, _reference(entry, threshold, curve))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            known = None
        if known is None:
            raise _invalid(f"the entry of {name} is not valid")
        findings[str(name)] = known
    return findings


def _entry(known: Calibrated) -> dict[str, Any]:
    own = known.reference
    ordinary = {} if own is None else {"ordinary_range": [own.low, own.high]}
    return {**known.curve.to_dict(), "threshold": known.threshold, **ordinary}


def _reference(entry: Mapping[str, Any], threshold: float, curve: Curve) -> Reference | None:
    """Read the ordinary range, or raise one of the errors of a senseless one."""
    if "ordinary_range" not in entry:
        return None
    low, high = map(_number, entry["ordinary_range"])
    if not low < high:
        raise ValueError
    return Reference(threshold, low, high, curve.probability(threshold))


def _curve(entry: Mapping[str, Any]) -> Curve:
    """Read a curve, or raise one of the errors of a senseless one."""
    if entry["method"] == "platt":
        a, b = _number(entry["a"]), _number(entry["b"])
        if not a > 0:
            raise ValueError
        return Platt(a, b)
    scores, heights = (tuple(map(_number, entry[name])) for name in ("scores", "probabilities"))
    ascending = all(x < y for x, y in pairwise(scores))
    non_decreasing = all(x <= y for x, y in pairwise(heights))
    in_range = 0 <= heights[0] <= heights[-1] <= 1
    valid = len(scores) == len(heights) and ascending and non_decreasing and in_range
    if entry["method"] != "isotonic" or not valid:
        raise ValueError
    return Isotonic(scores, heights)


def _number(value: Any) -> float:
    """Return a finite number, or raise one of the errors of a senseless entry."""
    # A number without bounds makes 0 / 0 of a curve.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST:
        raise ValueError
    return float(value)


def _invalid(what: str) -> CheckpointError:
    return CheckpointError(what, where=_FILE, remedy="calibrate again with `tier calibrate`")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
