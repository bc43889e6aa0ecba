"""What a calibration says about itself, in its file, in the model card and on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tier_cli.errors import ManifestError
from tier_cli.fitting.calibrate import Fitted, Plan
from tier_cli.model.checkpoint import CALIBRATION, write_json
from tier_cli.model.copying import checkpoint_copy, write_card_section

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.evaluation.selection import Truth
    from tier_cli.pipeline.scoring_job import ScoringJob

PREVALENCE_WARNING = (
    "It holds where the findings are as frequent as they were here, in the same kind of images and "
    "patients. Where they are rarer, probabilities are too high and more calls are false: calibrate on "
    "images of your own."
)


def describe(
    job: ScoringJob,
    unit: Literal["image", "study"],
    truth: Truth,
    values: np.ndarray[Any, np.dtype[np.float64]],
    plan: Plan,
    fitted: Fitted,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Give the content of calibration.json. No date, so that the same command writes the same file.

    Parameters
    ----------
    job
        The model, or the ensemble.
    unit
        What the scores are of.
    truth, values
        Labels and scores of units, (U, F) each.
    plan, fitted
        How it was fitted, and what came of it.
    facts
        Which data it was fitted on.

    Raises
    ------
    ManifestError
        Nothing could be fitted.
    """
    from tier_cli.pipeline.image_scorer import calibration_keys

    _check_any(fitted, str(facts["data"]))
    used = (np.isfinite(values) & np.isfinite(truth.by_unit.labels)).any(axis=1)
    return {
        "version": 1,
        "key": asdict(calibration_keys(job.members, job.findings, unit)[0]),
        "model": job.stamp.to_dict(),
        "method": plan.method,
        "operating_point": str(plan.rule),
        "findings": fitted.findings,
        "not_calibrated": fitted.left_out,
        "fitted_on": {
            **facts,
            f"{truth.units.plural}_used": int(used.sum()),
            "patients_used": len(np.unique(truth.by_unit.patients[used])),
        },
    }


def _check_any(fitted: Fitted, data: str) -> None:
    if not fitted.findings:
        shown = list(fitted.left_out.items())[:3]
        reasons = "; ".join(f"{name}: {reason}" for name, reason in shown)
        if more := len(fitted.left_out) - len(shown):
            reasons += f"; and {more} more"
        raise ManifestError(
            f"no finding can be calibrated ({reasons})", where=data, remedy="give more labelled images"
        )


def write_calibrated(source: Path, output: Path, content: dict[str, Any]) -> None:
    """Copy a checkpoint folder to `output`, with the calibration and a section in the card."""
    with checkpoint_copy(source, output, leave_out=[CALIBRATION]) as folder:
        write_json(folder / CALIBRATION, content)
        write_card_section(folder, "Calibration", card(content))


def card(content: Mapping[str, Any]) -> str:
    """Give the section of the model card, in Markdown."""
    on, members = content["fitted_on"], content["model"].get("members")
    lines = [
        f"Probabilities ({content['method']}) and calls (operating point: {content['operating_point']}) were "
        f"fitted on {on['images']} images of {on['patients_used']} patients, split {on['split']}. "
        f"{PREVALENCE_WARNING}",
    ]
    if members:
        names = ", ".join(member["name"] for member in members)
        lines += ["", f"They are for the mean of the scores of {names} and for nothing else."]
    lines += [
        "",
        "Cross-validated by patient. Brier: 'none' always says the prevalence; a calibration that is no "
        "better knows nothing about the image.",
        "",
        "| finding | positives | Brier | none | ECE | sensitivity | specificity |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [f"| {' | '.join(row)} |" for row in _rows(content)]
    lines += ["", *(f"- {name}: not calibrated, {why}" for name, why in content["not_calibrated"].items())]
    return "\n".join(lines)


def show(content: Mapping[str, Any], notes: Sequence[str], console: Console) -> None:
    """Print the cross-validated figures, and what is worth knowing about them."""
    from tier_cli.display.fitted_table import show_figures

    said = ["cross-validated by patient; Brier 'none' always says the prevalence", *notes]
    said += [f"{name}: not calibrated, {why}" for name, why in content["not_calibrated"].items()]
    idle = [name for name, entry in content["findings"].items() if not _helps(entry)]
    if idle:
        said.append(f"no better than the prevalence, so the probability says little: {', '.join(idle)}")
    columns = ("positives", "Brier", "none", "ECE", "sens.", "spec.")
    show_figures(columns, _rows(content), [*said, PREVALENCE_WARNING], console, 24)


def _rows(content: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for name, entry in content["findings"].items():
        judged = entry["cross_validated"]
        numbers = [judged["after"]["brier"], judged["prevalence"]["brier"], judged["after"]["ece"]]
        numbers += [judged["sensitivity"], judged["specificity"]]
        rows.append([name, f"{entry['positives']}/{entry['n']}", *(f"{number:.3f}" for number in numbers)])
    return rows


def _helps(entry: Mapping[str, Any]) -> bool:
    judged = entry["cross_validated"]
    return bool(judged["after"]["brier"] < judged["prevalence"]["brier"])
