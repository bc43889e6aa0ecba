"""Write a calibration into a copy of a checkpoint: calibration.json and a section of the model card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tier_cli.errors import ManifestError
from tier_cli.fitting.calibrate import Fitted, Plan
from tier_cli.fitting.left_out import summary
from tier_cli.model.checkpoint import CALIBRATION, write_json
from tier_cli.model.copying import checkpoint_copy, write_card_section

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.evaluation.truth import Truth
    from tier_cli.pipeline.scoring_job import ScoringJob

PREVALENCE_WARNING = (
    "A calibration holds only for the same kind of images and patients, and only where the findings are as "
    "frequent as in the images it was fitted on. Where they are rarer, probabilities are too high and more "
    "calls are false: calibrate on your own images."
)


def calibration_content(
    job: ScoringJob,
    unit: Literal["image", "study"],
    truth: Truth,
    scores: NDArray[np.float64],
    plan: Plan,
    fitted: Fitted,
    fitted_on: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the content of calibration.json, without a date, so that the same command writes the same file.

    Parameters
    ----------
    job
        The model or ensemble.
    unit
        What one score belongs to.
    truth, scores
        Labels and scores of U units, (U, F) each.
    plan, fitted
        How the calibration was fitted, and the outcome.
    fitted_on
        The data that it was fitted on.

    Raises
    ------
    ManifestError
        If no finding could be fitted.
    """
    from tier_cli.pipeline.image_scorer import calibration_keys

    if not fitted.findings:
        raise ManifestError(
            f"no finding can be calibrated ({summary(fitted.left_out)})",
            where=str(fitted_on["data"]),
            remedy="provide more labelled images",
        )
    used = (np.isfinite(scores) & np.isfinite(truth.by_unit.labels)).any(axis=1)
    return {
        "version": 1,
        "key": asdict(calibration_keys(job.members, job.findings, unit)[0]),
        "model": job.stamp.to_dict(),
        "method": plan.method,
        "operating_point": str(plan.rule),
        "findings": fitted.findings,
        "not_calibrated": fitted.left_out,
        "fitted_on": {
            **fitted_on,
            f"{truth.units.plural}_used": int(used.sum()),
            "patients_used": len(np.unique(truth.by_unit.patients[used])),
        },
    }


def write_calibrated(source: Path, output: Path, content: dict[str, Any]) -> None:
    """Copy a checkpoint folder to `output` and add the calibration and a section of the model card."""
    with checkpoint_copy(source, output, leave_out=[CALIBRATION]) as folder:
        write_json(folder / CALIBRATION, content)
        write_card_section(folder, "Calibration", card(content))


def card(content: Mapping[str, Any]) -> str:
    """Return the section of the model card, in Markdown."""
    fitted_on, members = content["fitted_on"], content["model"].get("members")
    lines = [
        f"Probabilities ({content['method']}) and calls (operating point: {content['operating_point']}) were "
        f"fitted on {fitted_on['images']} images of {fitted_on['patients_used']} patients, split "
        f"{fitted_on['split']}. {PREVALENCE_WARNING}",
    ]
    if members:
        names = ", ".join(member["name"] for member in members)
        lines += ["", f"They apply only to the mean of the scores of {names}."]
    lines += [
        "",
        "The figures are cross-validated by patient. The baseline is the Brier score of always predicting "
        "the prevalence; a calibration that does no better says nothing about the image. The floor is the "
        "ECE that calibrated probabilities would have on as many images.",
        "",
        "| finding | positives | Brier | baseline | ECE | floor | sensitivity | specificity |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [f"| {' | '.join(row)} |" for row in calibration_figures(content)]
    lines += ["", *(f"- {line}" for line in not_calibrated(content))]
    return "\n".join(lines)


def calibration_figures(content: Mapping[str, Any]) -> list[list[str]]:
    """Return one row of text per finding: name, positives, Brier score, baseline, both ECEs and calls."""
    rows = []
    for name, entry in content["findings"].items():
        validated = entry["cross_validated"]
        numbers = [validated["after"]["brier"], validated["prevalence"]["brier"], validated["after"]["ece"]]
        numbers += [validated["after"]["ece_if_calibrated"]]
        numbers += [validated["sensitivity"], validated["specificity"]]
        rows.append([name, f"{entry['positives']}/{entry['n']}", *(f"{number:.3f}" for number in numbers)])
    return rows


def not_calibrated(content: Mapping[str, Any]) -> list[str]:
    """Return one line per finding that was left out, with the reason."""
    return [f"{name}: not calibrated, {reason}" for name, reason in content["not_calibrated"].items()]


def no_better_than_prevalence(content: Mapping[str, Any]) -> list[str]:
    """Return the findings whose cross-validated Brier score does not beat the baseline."""
    return [
        name
        for name, entry in content["findings"].items()
        if not entry["cross_validated"]["after"]["brier"] < entry["cross_validated"]["prevalence"]["brier"]
    ]
