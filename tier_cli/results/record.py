"""One result: what was scored, with which model, how it went. Every output format is written from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

SCHEMA_VERSION = 1
# float32 carries about seven digits; more would only look like precision.
_DIGITS = 6

Unit = Literal["image", "study"]


@dataclass(frozen=True, slots=True)
class FindingScore:
    """The score of one finding, and its probability and call where a calibration gave them."""

    finding: str
    score: float
    probability: float | None = None
    call: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the fields under the names of the schema, rounded."""
        probability = None if self.probability is None else round(self.probability, _DIGITS)
        return {
            "finding": self.finding,
            "score": round(self.score, _DIGITS),
            "probability": probability,
            "call": self.call,
        }


@dataclass(frozen=True, slots=True)
class ModelStamp:
    """What must be the same for two results to be comparable: SHA-256 in hex; and a name for people.

    `adaptation` is empty where there is none. An ensemble names its `members`; its `weights` and
    `preprocessing` are then hashes of theirs, sorted.
    """

    name: str
    weights: str
    preprocessing: str
    findings: str
    adaptation: str = ""
    members: tuple[ModelStamp, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give the fields under the names of the schema."""
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
    """Why there is no score: a stable word for programs, a sentence for people."""

    kind: str
    message: str


class Judged(Protocol):
    """What became of a file, of whatever kind."""

    @property
    def error(self) -> Failure | None:
        """Why there is nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one image, or of one study.

    Parameters
    ----------
    paths
        The files as they were given or discovered; exactly one where `unit` is ``image``.
    model, scoring
        What the scores came from and how they were computed.
    unit
        ``image`` or ``study``.
    study, series, instance, view
        DICOM instance UIDs and the view; empty where unknown or not common to all `paths`.
    findings
        Scores in the order of the finding set; empty where `error` is set.
    notes
        Sentences about how the pixels or scores were obtained. Never patient data.
    error
        Why nothing was scored.
    phi
        Patient data, only where asked for.
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

    def top(self, count: int) -> Result:
        """Keep the `count` highest scores, highest first."""
        highest = sorted(self.findings, key=lambda score: score.score, reverse=True)[:count]
        return replace(self, findings=tuple(highest))

    def to_dict(self) -> dict[str, Any]:
        """Give the result as ``result.schema.json`` describes it."""
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
        if self.phi:
            document["phi"] = dict(self.phi)
        return document
