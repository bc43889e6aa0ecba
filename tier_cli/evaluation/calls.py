"""Turn a model's scores into probabilities and calls with its own calibration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.evaluation.fitted_on import Images, Overlap
from tier_cli.evaluation.thresholds import Thresholds

if TYPE_CHECKING:
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.scoring.calibration import Calibration

_NO_PROBABILITIES = "no Brier score and no ECE: "
_MAY_OVERLAP = (
    "was fitted on rows of the same table, with other rows excluded: the numbers hold only if no patient "
    "is in both"
)

Floats = NDArray[np.float64]


def adaptation_notes(job: ScoringJob, images: Images | None) -> list[str]:
    """Return notes on the images a model was adapted on, with a warning if they are the evaluated ones."""
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
                f"{name} was adapted on the evaluated images: its numbers say how well it fits them, "
                "nothing about other images"
            )
        elif overlap is Overlap.POSSIBLE:
            notes.append(f"{name} {_MAY_OVERLAP}")
    return notes


@dataclass(frozen=True)
class OwnCalibration:
    """What a model's own calibration gives.

    Parameters
    ----------
    probabilities
        (N, F), NaN = none; None without a usable calibration.
    thresholds
        None without a usable calibration.
    note
        Why no calibration applies, or what to bear in mind.
    """

    probabilities: Floats | None
    thresholds: Thresholds | None
    note: str = ""


def own_calibration(
    job: ScoringJob, unit: str, findings: Sequence[str], scores: Floats, images: Images | None = None
) -> OwnCalibration:
    """Apply a model's calibration, provided it was fitted for these weights, prompts and unit.

    Parameters
    ----------
    job
        The model.
    unit
        Unit of the scores; a calibration never covers ``patient``.
    findings
        F ids.
    scores
        (N, F), NaN = none.
    images
        The evaluated images: a calibration fitted on them is not used.
    """
    from tier_cli.pipeline.image_scorer import calibration_of

    if unit not in ("image", "study"):
        return OwnCalibration(None, None, f"{_NO_PROBABILITIES}no calibration covers the unit {unit}")
    calibration, content = calibration_of(job.members, job.findings, "study" if unit == "study" else "image")
    if not calibration.findings:
        return OwnCalibration(None, None, _NO_PROBABILITIES + calibration.reason)
    fitted_on = content.get("fitted_on", {})
    overlap = _overlap(images, fitted_on)
    if overlap is Overlap.SURE:
        place = _place(fitted_on)
        note = f"the model's calibration was not used: it was fitted on the evaluated images ({place})"
        return OwnCalibration(None, None, note)
    source = "the model's calibration" + (f" on {_place(fitted_on)}" if fitted_on else "")
    probabilities, values = _apply(calibration, findings, scores)
    thresholds = Thresholds(source, str(content.get("operating_point", "")), values)
    note = f"the model's calibration {_MAY_OVERLAP}" if overlap is Overlap.POSSIBLE else ""
    return OwnCalibration(probabilities, thresholds, note)


def _apply(calibration: Calibration, findings: Sequence[str], scores: Floats) -> tuple[Floats, Floats]:
    """Return probabilities (N, F) and thresholds (F,); NaN for a finding without a curve."""
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
