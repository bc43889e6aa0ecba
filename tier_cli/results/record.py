"""Hold the result of one image or study, from which every output format is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import log
from typing import Any, Literal, Protocol

SCHEMA_VERSION = 1
# float32 carries about seven significant digits; more would be false precision.
_DIGITS = 6
# Isotonic curves reach 0 and 1 after a few images: that must not outweigh everything else.
_SMALLEST_PROBABILITY = 0.01

Unit = Literal["image", "study"]


@dataclass(frozen=True, slots=True)
class Reference:
    """What the score of one finding is compared with, for people; it is not written to files.

    Parameters
    ----------
    threshold
        The operating point.
    low, high
        The ordinary range: 5th and 95th percentile of the scores of validation images without the finding.
    probability
        That of the finding at the operating point.
    """

    threshold: float
    low: float
    high: float
    probability: float

    def place(self, score: float) -> float:
        """Return where a score lies on a scale from 0 to 1 whose middle third is the ordinary range.

        The scales of findings differ, and only so can their scores be compared.

        Examples
        --------
        >>> scale = Reference(threshold=0.15, low=-0.1, high=0.2, probability=0.3)
        >>> [round(scale.place(score), 2) for score in (-1.0, -0.1, 0.2, 1.0)]
        [0.0, 0.33, 0.67, 1.0]
        """
        share = (score - self.low) / (self.high - self.low)
        return min(max((share + 1) / 3, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class FindingScore:
    """The score of one finding, with probability and call if a calibration applies.

    Parameters
    ----------
    finding
        Id of the finding.
    score
        The checkpoint's own score.
    probability, call
        From the calibration; None without one. `call` is whether the score reaches the operating point.
    reference
        From the calibration; None without one that has it.
    """

    finding: str
    score: float
    probability: float | None = None
    call: bool | None = None
    reference: Reference | None = None

    def prominence(self) -> tuple[bool, float, float]:
        """Return what the rows for people are ordered by, highest first.

        It is by how much the log odds of the finding exceed those at its operating point. A weak finding,
        whose probability hardly follows its score, therefore does not stand above a strong one, as it would
        if scores were compared. Findings without a `Reference` follow, by score.
        """
        if self.reference is None or self.probability is None:
            return False, self.score, 0.0
        gain = _log_odds(self.probability) - _log_odds(self.reference.probability)
        # Steps of an isotonic curve hold scores on both sides of the operating point.
        return True, gain, self.score - self.reference.threshold

    def to_dict(self) -> dict[str, Any]:
        """Return the fields under the names of the schema, rounded."""
        probability = None if self.probability is None else round(self.probability, _DIGITS)
        return {
            "finding": self.finding,
            "score": round(self.score, _DIGITS),
            "probability": probability,
            "call": self.call,
        }


@dataclass(frozen=True, slots=True)
class ModelStamp:
    """The model that scored; results are comparable if their hashes are equal.

    Parameters
    ----------
    name
        The checkpoint's name, for people.
    weights, preprocessing, findings
        SHA-256 in hex. For an ensemble, `weights` and `preprocessing` hash the sorted hashes of its members.
    adaptation
        SHA-256 of the adaptation; empty without one.
    members
        The models of an ensemble; empty for a single model.
    """

    name: str
    weights: str
    preprocessing: str
    findings: str
    adaptation: str = ""
    members: tuple[ModelStamp, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields under the names of the schema."""
        hashes = {
            "weights": self.weights,
            "preprocessing": self.preprocessing,
            "findings": self.findings,
        }
        if self.adaptation:
            hashes["adaptation"] = self.adaptation
        document: dict[str, Any] = {"name": self.name, "hashes": hashes}
        if self.members:
            document["members"] = [member.to_dict() for member in self.members]
        return document


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a file has no score.

    Parameters
    ----------
    kind
        A stable word for programs, see `tier_cli.errors.InputError`.
    message
        A sentence for people.
    """

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class InputCheckResult:
    """Whether the image looks like a frontal chest X-ray.

    Parameters
    ----------
    score
        Distance from the chests that the checkpoint knows, as a multiple of the limit: above 1 is suspicious.
    looks_like
        What a suspicious image looks like: a turned or inverted chest, or ``other``; empty if not suspicious.
    check
        SHA-256 of the file that holds the check.
    """

    score: float
    looks_like: str
    check: str

    @property
    def verdict(self) -> Literal["pass", "suspicious"]:
        """The outcome in one word."""
        return "suspicious" if self.looks_like else "pass"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields under the names of the schema, rounded."""
        return {
            "score": round(self.score, _DIGITS),
            "verdict": self.verdict,
            "looks_like": self.looks_like or None,
            "check": self.check,
        }


class FileResult(Protocol):
    """The result of a file, of any kind: scores, an embedding, or an error."""

    @property
    def error(self) -> Failure | None:
        """The reason why the file could not be used; None if it could."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one image, or of one study.

    Parameters
    ----------
    paths
        The files as given or discovered; exactly one if `unit` is ``image``.
    model, scoring
        The model, and the rule by which it scored.
    unit
        ``image`` or ``study``.
    study, series, instance, view
        DICOM instance UIDs and the view; empty if unknown or not shared by all `paths`.
    findings
        Scores in the order of the finding set; empty if `error` is set.
    notes
        Sentences about how the pixels or scores were obtained. Never patient data.
    error
        The reason why nothing was scored.
    phi
        Patient data; empty unless requested.
    input_check
        Whether the image looks like a frontal chest X-ray, for a study its most suspicious image; None if it
        was not checked.
    """

    paths: tuple[str, ...]
    model: ModelStamp
    scoring: str
    unit: Unit = "image"
    study: str = ""
    series: str = ""
    instance: str = ""
    view: str = ""
    findings: tuple[FindingScore, ...] = ()
    notes: tuple[str, ...] = ()
    error: Failure | None = None
    phi: Mapping[str, str] = field(default_factory=dict)
    input_check: InputCheckResult | None = None

    def __repr__(self) -> str:
        where = self.paths[0] if len(self.paths) == 1 else f"{len(self.paths)} images of one study"
        if self.error is not None:
            return f"<Result {where}: {self.error.kind}: {self.error.message}>"
        highest = ", ".join(f"{one.finding} {one.score:.3f}" for one in self.top(3).findings)
        rest = f", and {len(self.findings) - 3} more" if len(self.findings) > 3 else ""
        return f"<Result {where}: {highest}{rest}>"

    @property
    def scores(self) -> dict[str, float]:
        """The score of each finding by its id; empty if `error` is set."""
        return {score.finding: score.score for score in self.findings}

    def ranked(self) -> tuple[FindingScore, ...]:
        """Return the findings by how far they stand above their operating points, then the others."""
        return tuple(sorted(self.findings, key=FindingScore.prominence, reverse=True))

    def top(self, count: int) -> Result:
        """Keep the first `count` findings of `ranked`."""
        return replace(self, findings=self.ranked()[:count])

    def to_dict(self) -> dict[str, Any]:
        """Return the result as ``result.schema.json`` describes it."""
        where: dict[str, Any] = {"path": self.paths[0]}
        if self.unit == "study":
            where = {"paths": list(self.paths)}
        error = None
        if self.error is not None:
            error = {"kind": self.error.kind, "message": self.error.message}
        document = {
            "schema_version": SCHEMA_VERSION,
            **where,
            "study": self.study or None,
            "series": self.series or None,
            "instance": self.instance or None,
            "view": self.view or None,
            "findings": [score.to_dict() for score in self.findings],
            "scoring": self.scoring,
            "model": self.model.to_dict(),
            "notes": list(self.notes),
            "error": error,
        }
        if self.input_check is not None:
            document["input_check"] = self.input_check.to_dict()
        if self.phi:
            document["phi"] = dict(self.phi)
        return document


def _log_odds(probability: float) -> float:
    bounded = min(max(probability, _SMALLEST_PROBABILITY), 1 - _SMALLEST_PROBABILITY)
    return log(bounded / (1 - bounded))
