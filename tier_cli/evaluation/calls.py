"""From scores to calls and probabilities: by thresholds of a validation split, or by a calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import ManifestError, UsageError
from tier_cli.evaluation.fitted_on import Images, Overlap
from tier_cli.scoring.operating_points import Rule, choose, parse_rule

if TYPE_CHECKING:
    from tier_cli.evaluation.measure import Labelled
    from tier_cli.evaluation.selection import Selection
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.scoring.calibration import Calibration

FEW = 10
_NOTHING = "no Brier score and no ECE: "
_PERHAPS = (
    "was fitted on rows of the same table, with others left out: its numbers are right only if no patient is "
    "in both"
)

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


def adaptation_notes(job: ScoringJob, images: Images | None) -> list[str]:
    """Say which images a model's scores were adapted on; loudly where they are those that are evaluated."""
    import json

    from tier_cli.scoring.adaptation import ADAPTATION

    notes = []
    for member in job.members:
        if member.adaptation is None:
            continue
        content = json.loads((member.checkpoint.path / ADAPTATION).read_text(encoding="utf-8"))
        name, fitted_on = member.checkpoint.name, content.get("fitted_on", {})
        notes.append(f"{name} was adapted on labelled images ({_place(fitted_on)}): not zero-shot")
        overlap = _overlap(images, fitted_on)
        if overlap is Overlap.SURE:
            notes.append(
                f"{name} was adapted on images that are evaluated: its numbers are those of a fit, and say "
                "nothing about other images"
            )
        elif overlap is Overlap.POSSIBLE:
            notes.append(f"{name} {_PERHAPS}")
    return notes


@dataclass(frozen=True)
class OwnCalibration:
    """What a model's own calibration gives: probabilities (N, F), thresholds, or why it gives nothing."""

    probabilities: Floats | None
    thresholds: Thresholds | None
    note: str = ""


def own_calibration(
    job: ScoringJob, unit: str, findings: Sequence[str], scores: Floats, images: Images | None = None
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
    images
        What is evaluated: a calibration that was fitted on it is not used.
    """
    from tier_cli.pipeline.image_scorer import calibration_of

    if unit not in ("image", "study"):
        return OwnCalibration(None, None, f"{_NOTHING}no calibration is for the unit {unit}")
    calibration, content = calibration_of(job.members, job.findings, "study" if unit == "study" else "image")
    if not calibration.findings:
        return OwnCalibration(None, None, _NOTHING + calibration.reason)
    fitted_on = content.get("fitted_on", {})
    overlap = _overlap(images, fitted_on)
    if overlap is Overlap.SURE:
        place = _place(fitted_on)
        return OwnCalibration(
            None, None, f"the model's calibration was fitted on images that are evaluated ({place}): not used"
        )
    source = "the model's calibration" + (f" on {_place(fitted_on)}" if fitted_on else "")
    probabilities, values = _applied(calibration, findings, scores)
    thresholds = Thresholds(source, str(content.get("operating_point", "")), values)
    note = f"the model's calibration {_PERHAPS}" if overlap is Overlap.POSSIBLE else ""
    return OwnCalibration(probabilities, thresholds, note)


def _applied(calibration: Calibration, findings: Sequence[str], scores: Floats) -> tuple[Floats, Floats]:
    """Probabilities (N, F) and thresholds (F,); NaN for a finding without a curve."""
    values, probabilities = np.full(len(findings), np.nan), np.full(scores.shape, np.nan)
    for number, name in enumerate(findings):
        known = calibration.findings.get(name)
        if known is not None:
            values[number] = known.threshold
            rows = np.flatnonzero(np.isfinite(scores[:, number]))
            probabilities[rows, number] = [known.curve.probability(x) for x in scores[rows, number].tolist()]
    return probabilities, values


def _place(fitted_on: Mapping[str, Any]) -> str:
    return f"{fitted_on.get('data')}, split {fitted_on.get('split')}"


def _overlap(images: Images | None, fitted_on: Mapping[str, Any]) -> Overlap:
    return Overlap.NONE if images is None else images.overlap(fitted_on)
