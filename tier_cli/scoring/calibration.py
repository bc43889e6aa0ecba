"""Scores to probabilities and calls, by a calibration that was fitted for exactly this use, or not at all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from tier_cli.errors import CheckpointError

if TYPE_CHECKING:
    from tier_cli.results.record import FindingScore

NO_CALIBRATION = "no probability and no call: this checkpoint has no calibration"
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
    """

    weights: str
    rendering: str
    prompts: str
    unit: str
    ensemble: str = ""


@dataclass(frozen=True)
class _Platt:
    a: float
    b: float
    threshold: float


@dataclass(frozen=True)
class Calibration:
    """One logistic curve (Platt, 1999) and one threshold a finding; `note` says where there is none."""

    curves: Mapping[str, _Platt]
    note: str = ""

    def apply(self, scores: Iterable[FindingScore]) -> tuple[FindingScore, ...]:
        """Add probability and call to the findings that have a curve."""
        return tuple(self._one(score) for score in scores)

    def _one(self, score: FindingScore) -> FindingScore:
        curve = self.curves.get(score.finding)
        if curve is None:
            return score
        probability = _logistic(curve.a * score.score + curve.b)
        return replace(score, probability=probability, call=probability >= curve.threshold)


def match_calibration(content: Mapping[str, Any] | None, key: CalibrationKey) -> Calibration:
    """Decide whether a checkpoint's calibration holds for `key`.

    Parameters
    ----------
    content
        The content of calibration.json: ``key`` with the fields of `CalibrationKey`, and ``findings``, where
        each id has ``a`` and ``b`` (probability = 1 / (1 + exp(-(a score + b)))) and ``threshold``, a
        probability. None where there is none.
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
        return Calibration({}, f"no probability and no call: the calibration is for other {_listed(others)}")
    return Calibration(_curves(content.get("findings")))


def _curves(table: Any) -> dict[str, _Platt]:
    try:
        curves = {
            str(name): _Platt(float(entry["a"]), float(entry["b"]), float(entry["threshold"]))
            for name, entry in table.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        curves = {}
    if not curves or not all(math.isfinite(x) for curve in curves.values() for x in vars(curve).values()):
        raise CheckpointError(
            "'findings' must give finite numbers a, b and threshold for each finding",
            where=_FILE,
            remedy="calibrate again",
        )
    return curves


def _logistic(x: float) -> float:
    # In the form whose exponential cannot overflow.
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
