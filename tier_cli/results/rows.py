"""Lay results out as table rows: tidy (one row per finding) or wide (one row per result)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from tier_cli.errors import UsageError
from tier_cli.results.record import SCHEMA_VERSION

if TYPE_CHECKING:
    from tier_cli.results.record import FindingScore, Result, Unit

Cell = str | int | float | bool | tuple[str, ...] | None
Kind = Literal["text", "integer", "number", "truth", "list"]

_KEYS: dict[str, Kind] = {"study": "text", "series": "text", "instance": "text", "view": "text"}
_FINDING: dict[str, Kind] = {"finding": "text", "score": "number", "probability": "number", "call": "truth"}
_ADAPTED: dict[str, Kind] = {"model_adaptation": "text"}
_CHECKED: dict[str, Kind] = {
    "input_check_score": "number",
    "input_check_verdict": "text",
    "input_check_looks_like": "text",
    "input_check_hash": "text",
}
_TAIL: dict[str, Kind] = {
    "scoring": "text",
    "model": "text",
    "model_weights": "text",
    "model_preprocessing": "text",
    "model_findings": "text",
    "notes": "list",
    "error_kind": "text",
    "error_message": "text",
}


@dataclass(frozen=True)
class Layout:
    """The columns of a table of results, and the rows of each result.

    Parameters
    ----------
    findings
        The ids of the finding set: the score columns of a wide table.
    unit
        A table by ``study`` has a list column ``paths``, a table by ``image`` a column ``path``.
    wide
        One row per result and one score column per finding, instead of one row per finding.
    phi
        Add the column ``phi``, a JSON object.
    adapted
        Add the column ``model_adaptation``, which tells two adaptations of one checkpoint apart.
    checked
        Add the columns of the input check.

    Raises
    ------
    UsageError
        If a finding of a wide table has the name of another column.
    """

    findings: tuple[str, ...]
    unit: Unit = "image"
    wide: bool = False
    phi: bool = False
    adapted: bool = False
    checked: bool = False

    def __post_init__(self) -> None:
        taken = {"schema_version", "path", "paths", "phi", *_KEYS, *_TAIL, *_ADAPTED, *_CHECKED}
        if self.wide and (both := taken.intersection(self.findings)):
            raise UsageError(
                f"the finding '{min(both)}' has the name of another column of the table",
                where="--wide",
                remedy="rename the finding, or omit --wide",
            )

    @cached_property
    def columns(self) -> dict[str, Kind]:
        """The names of the columns, in order, each with the kind of its values."""
        where: dict[str, Kind] = {"paths": "list"} if self.unit == "study" else {"path": "text"}
        scores = dict.fromkeys(self.findings, _NUMBER) if self.wide else _FINDING
        last: dict[str, Kind] = {
            **(_ADAPTED if self.adapted else {}),
            **(_CHECKED if self.checked else {}),
            **({"phi": "text"} if self.phi else {}),
        }
        return {"schema_version": "integer", **where, **_KEYS, **scores, **_TAIL, **last}

    def rows(self, result: Result) -> Iterator[list[Cell]]:
        """Yield the rows of one result, with cells in the order of `columns`."""
        before, after = self._around(result)
        if self.wide:
            scores = {score.finding: score.to_dict()["score"] for score in result.findings}
            yield [*before, *(scores.get(name) for name in self.findings), *after]
            return
        for score in result.findings or (None,):
            yield [*before, *_cells(score), *after]

    def _around(self, result: Result) -> tuple[list[Cell], list[Cell]]:
        """Return the cells before and after those of the findings, which all rows of a result share."""
        document = result.to_dict()
        hashes = document["model"]["hashes"]
        error = document["error"] or {"kind": None, "message": None}
        before: list[Cell] = [SCHEMA_VERSION, result.paths if self.unit == "study" else result.paths[0]]
        before += [document[name] for name in _KEYS]
        after: list[Cell] = [
            result.scoring,
            result.model.name,
            hashes["weights"],
            hashes["preprocessing"],
            hashes["findings"],
        ]
        after += [result.notes, error["kind"], error["message"]]
        if self.adapted:
            after.append(hashes.get("adaptation"))
        if self.checked:
            check = document.get("input_check", {})
            after += [check.get(name) for name in ("score", "verdict", "looks_like", "check")]
        if self.phi:
            after.append(json.dumps(dict(result.phi)) if result.phi else None)
        return before, after


_NUMBER: Kind = "number"


def _cells(score: FindingScore | None) -> list[Cell]:
    if score is None:
        return [None] * len(_FINDING)
    document = score.to_dict()
    return [document[name] for name in _FINDING]
