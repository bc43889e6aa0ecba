"""Scores to probabilities and calls, by a calibration that was fitted for exactly this use, or not at all."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from tier_cli.errors import CheckpointError

if TYPE_CHECKING:
    from tier_cli.results.record import FindingScore

NOT_CALIBRATED = "no probability and no call: "
NO_CALIBRATION = f"{NOT_CALIBRATED}this checkpoint has no calibration"
_FILE = "calibration.json"


@dataclass(frozen=True)
class CalibrationKey:
    """What scores must share for one calibration to hold for them.

    Parameters
    ----------
    weights, prompts
        Hashes of the weights and of the finding set.
    rendering
        The checkpoint's rendering of pixels.
    unit
        ``image`` or ``study``.
    ensemble
        Hash of an ensemble; empty for a single model.
    adaptation
        Hash of what the checkpoint was adapted with; empty where it was not.
    """

    weights: str
    rendering: str
    prompts: str
    unit: str
    ensemble: str = ""
    adaptation: str = ""


class Curve(Protocol):
    """From a score to a probability, never falling."""

    def probability(self, score: float) -> float:
        """Give the probability of one score."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Give the fields that calibration.json holds of it, ``method`` among them."""
        ...


@dataclass(frozen=True)
class Platt:
    """The logistic curve 1 / (1 + exp(-(a score + b))) of Platt (1999)."""

    a: float
    b: float

    def probability(self, score: float) -> float:
        """Give the probability of one score."""
        x = self.a * score + self.b
        # In the form whose exponential cannot overflow.
        return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))

    def to_dict(self) -> dict[str, Any]:
        """Give the fields that calibration.json holds of it."""
        return {"method": "platt", "a": self.a, "b": self.b}


@dataclass(frozen=True)
class Isotonic:
    """Straight lines between knots, level beyond the first and the last.

    Parameters
    ----------
    scores
        Ascending.
    probabilities
        As many, never falling.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def probability(self, score: float) -> float:
        """Give the probability of one score."""
        right = bisect_right(self.scores, score)
        if right == 0 or right == len(self.scores):
            return self.probabilities[right - (right > 0)]
        (x0, x1), (y0, y1) = self.scores[right - 1 : right + 1], self.probabilities[right - 1 : right + 1]
        return y0 + (y1 - y0) * (score - x0) / (x1 - x0)

    def to_dict(self) -> dict[str, Any]:
        """Give the fields that calibration.json holds of it."""
        return {"method": "isotonic", "scores": list(self.scores), "probabilities": list(self.probabilities)}


@dataclass(frozen=True)
class Calibrated:
    """A finding's curve, and the score from which on it is called present."""

    curve: Curve
    threshold: float


@dataclass(frozen=True)
class Calibration:
    """One curve and one operating point a finding; `note` says where there is none."""

    findings: Mapping[str, Calibrated]
    note: str = ""

    def apply(self, scores: Iterable[FindingScore]) -> tuple[FindingScore, ...]:
        """Add probability and call to the findings that have a curve."""
        return tuple(self._one(score) for score in scores)

    def _one(self, score: FindingScore) -> FindingScore:
        known = self.findings.get(score.finding)
        if known is None:
            return score
        probability = known.curve.probability(score.score)
        return replace(score, probability=probability, call=score.score >= known.threshold)


def match_calibration(content: Mapping[str, Any] | None, key: CalibrationKey) -> Calibration:
    """Decide whether a checkpoint's calibration holds for `key`.

    Parameters
    ----------
    content
        The content of calibration.json: ``key`` with the fields of `CalibrationKey`, and ``findings``, where
        each id has the fields of its curve and ``threshold``, a score. None where there is none.
    key
        What the scores at hand are of.

    Raises
    ------
    CheckpointError
        Where the content makes no sense.
    """
    if content is None:
        return Calibration({}, NO_CALIBRATION)
    fitted = content.get("key")
    if not isinstance(fitted, Mapping):
        raise CheckpointError("has no table 'key'", where=_FILE, remedy="calibrate again")
    others = [name for name, value in asdict(key).items() if (fitted.get(name) or "") != value]
    if others:
        return Calibration({}, f"{NOT_CALIBRATED}the calibration is for other {_listed(others)}")
    return Calibration(_findings(content.get("findings")))


def _findings(table: Any) -> dict[str, Calibrated]:
    if not isinstance(table, Mapping) or not table:
        raise _senseless("'findings' must have an entry for each finding")
    findings = {}
    for name, entry in table.items():
        try:
            known = Calibrated(_curve(entry), float(entry["threshold"]))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            known = None
        if known is None or not math.isfinite(known.threshold):
            raise _senseless(f"the entry of {name} makes no sense")
        findings[str(name)] = known
    return findings


def _curve(entry: Mapping[str, Any]) -> Curve:
    """Read a curve, or raise one of the errors of a senseless one."""
    if entry["method"] == "platt":
        a, b = float(entry["a"]), float(entry["b"])
        if not (math.isfinite(a) and math.isfinite(b) and a > 0):
            raise ValueError
        return Platt(a, b)
    scores, heights = (tuple(float(x) for x in entry[name]) for name in ("scores", "probabilities"))
    rising = all(x < y for x, y in pairwise(scores))
    never_falling = all(x <= y for x, y in pairwise(heights))
    within = 0 <= heights[0] <= heights[-1] <= 1 and all(map(math.isfinite, scores))
    sound = len(scores) == len(heights) and rising and never_falling and within
    if entry["method"] != "isotonic" or not sound:
        raise ValueError
    return Isotonic(scores, heights)


def _senseless(what: str) -> CheckpointError:
    return CheckpointError(what, where=_FILE, remedy="calibrate again with `tier calibrate`")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
