"""From scores to calls and probabilities: by thresholds of a validation split, or by a calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import ManifestError, UsageError
from tier_cli.scoring.operating_points import Rule, choose, parse_rule

if TYPE_CHECKING:
    from tier_cli.evaluation.evaluate import Selection
    from tier_cli.evaluation.measure import Labelled
    from tier_cli.pipeline.job import Job
    from tier_cli.scoring.calibration import Calibration

FEW = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Thresholds:
    """The score from which on each finding is called present.

    Parameters
    ----------
    source
        Where they come from, for people: ``split valid``, ``the model's calibration``.
    rule
        How they were chosen; empty where the calibration alone knows.
    values
        (F,) scores; NaN = none.
    few
        Findings whose threshold rests on fewer than `FEW` positives or negatives.
    """

    source: str
    rule: str
    values: Floats
    few: tuple[str, ...] = ()

    def calls(self, scores: Floats) -> Floats:
        """Turn scores (N, F) into 1 = called present, 0 = called absent, NaN = no score or no threshold."""
        known = np.isfinite(scores) & np.isfinite(self.values)
        return np.where(known, scores >= self.values, np.nan)


def check_rule(text: str) -> Rule:
    """Read ``--operating-point``.

    Raises
    ------
    UsageError
        It is no rule.
    """
    try:
        return parse_rule(text)
    except UsageError as error:
        raise UsageError(error.what, where="--operating-point", remedy=error.remedy) from error


def check_apart(chosen: Selection, selecting: Selection) -> None:
    """Refuse to choose thresholds on what is evaluated: it would be called a test and be none.

    Raises
    ------
    UsageError
        Both are the same split.
    ManifestError
        They share patients.
    """
    if chosen.split.lower() == selecting.split.lower():
        raise UsageError(
            f"thresholds cannot be chosen on the split {chosen.split!r} that is evaluated",
            where="--select-on",
            remedy="name another split",
        )
    theirs = set(selecting.manifest.patients())
    shared = np.array([key in theirs for key in chosen.manifest.patients()], dtype=bool)
    if shared.any():
        first = chosen.manifest.paths[int(np.flatnonzero(shared)[0])]
        raise ManifestError(
            f"{int(shared.sum())} of {shared.size} images of split {chosen.split} are of patients who are in "
            f"{selecting.split} too, the first is {first!r}",
            where="--select-on",
            remedy="split by patient",
        )


def select_thresholds(truth: Labelled, scores: Floats, rule: Rule, split: str) -> Thresholds:
    """Choose a threshold a finding; none where one class is absent.

    Parameters
    ----------
    truth, scores
        Labels and scores (N, F) of the split that thresholds are chosen on.
    rule, split
        How, and the split's name.
    """
    known = np.isfinite(scores) & np.isfinite(truth.labels)
    values = np.full(len(truth.findings), np.nan)
    few = []
    for number, finding in enumerate(truth.findings):
        labels = truth.labels[known[:, number], number]
        positives = int((labels == 1).sum())
        if 0 < positives < labels.size:
            values[number] = choose(labels, scores[known[:, number], number], rule)
            few += [finding] if min(positives, labels.size - positives) < FEW else []
    return Thresholds(f"split {split}", str(rule), values, tuple(few))


def threshold_notes(truth: Labelled, thresholds: Thresholds) -> list[str]:
    """Say which findings have no threshold, and whose rests on little."""
    notes = []
    without = [f for f, value in zip(truth.findings, thresholds.values, strict=True) if np.isnan(value)]
    if without:
        notes.append(f"no threshold from {thresholds.source}: {', '.join(without)}")
    if thresholds.few:
        few = ", ".join(thresholds.few)
        notes.append(
            f"thresholds chosen on fewer than {FEW} positives or negatives of {thresholds.source}: {few}"
        )
    return notes


def adaptation_notes(job: Job, rows_sha256: str) -> list[str]:
    """Say which images a model's scores were adapted on; loudly where they are those that are evaluated."""
    import json

    from tier_cli.scoring.adaptation import ADAPTATION

    notes = []
    for member in job.members:
        if member.adaptation is None:
            continue
        content = json.loads((member.checkpoint.path / ADAPTATION).read_text(encoding="utf-8"))
        fitted_on = content.get("fitted_on", {})
        place = f"{fitted_on.get('data')}, split {fitted_on.get('split')}"
        notes.append(f"{member.checkpoint.name} was adapted on labelled images ({place}): not zero-shot")
        if fitted_on.get("rows_sha256") == rows_sha256:
            notes.append(
                f"{member.checkpoint.name} was adapted on the very images that are evaluated: its numbers "
                "are those of a fit, and say nothing about other images"
            )
    return notes


@dataclass(frozen=True)
class OwnCalibration:
    """What a model's own calibration gives: probabilities (N, F), thresholds, or why it gives nothing."""

    probabilities: Floats | None
    thresholds: Thresholds | None
    note: str = ""


def own_calibration(
    job: Job, unit: str, findings: Sequence[str], scores: Floats, rows_sha256: str = ""
) -> OwnCalibration:
    """Apply a model's calibration, if it has one that was fitted for these weights, prompts and unit.

    Parameters
    ----------
    job
        The model.
    unit
        What the scores are of; there is no calibration for ``patient``.
    findings
        F ids.
    scores
        (N, F), NaN = none.
    rows_sha256
        Hash of the rows that are evaluated: a calibration that was fitted on them is not used.
    """
    calibration = _calibration(job, unit)
    if not calibration.findings:
        return OwnCalibration(None, None, calibration.note)
    content: Any = next((m.checkpoint.calibration for m in job.members if m.checkpoint.calibration), {})
    fitted_on = content.get("fitted_on", {})
    if rows_sha256 and fitted_on.get("rows_sha256") == rows_sha256:
        return OwnCalibration(None, None, "the model's calibration was fitted on these very images: not used")
    values, probabilities = np.full(len(findings), np.nan), np.full(scores.shape, np.nan)
    for number, name in enumerate(findings):
        known = calibration.findings.get(name)
        if known is not None:
            values[number] = known.threshold
            rows = np.flatnonzero(np.isfinite(scores[:, number]))
            probabilities[rows, number] = [known.curve.probability(x) for x in scores[rows, number].tolist()]
    source = "the model's calibration"
    if fitted_on:
        source += f" on {fitted_on.get('data')}, split {fitted_on.get('split')}"
    rule = str(content.get("operating_point", ""))
    return OwnCalibration(probabilities, Thresholds(source, rule, values))


def _calibration(job: Job, unit: str) -> Calibration:
    from tier_cli.pipeline.images import calibration_keys
    from tier_cli.scoring.calibration import Calibration, match_calibration

    if unit not in ("image", "study"):
        return Calibration({}, f"no probability and no call: no calibration is for the unit {unit}")
    keys = calibration_keys(job.members, job.findings, "study" if unit == "study" else "image")
    found = [
        match_calibration(member.checkpoint.calibration, key)
        for member, key in zip(job.members, keys, strict=True)
    ]
    return next((one for one in found if not one.note), found[0])
