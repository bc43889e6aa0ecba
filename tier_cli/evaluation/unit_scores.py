"""Score sets by unit, with the calls and the probabilities that they allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.errors import ManifestError
from tier_cli.evaluation.calls import (
    adaptation_notes,
    own_calibration,
    select_thresholds,
    threshold_notes,
)
from tier_cli.evaluation.measure import Contender

if TYPE_CHECKING:
    from tier_cli.evaluation.calls import Floats, Thresholds
    from tier_cli.evaluation.fitted_on import Images
    from tier_cli.evaluation.scores import Scores
    from tier_cli.evaluation.selection import Truth
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.scoring.operating_points import Rule

NO_CALLS = "no sensitivity, specificity, PPV, F1 and MCC: no thresholds; --select-on SPLIT chooses them"
NO_PROBABILITIES = "no Brier score and no ECE: nothing says these scores are probabilities (--probabilities)"


@dataclass(frozen=True)
class Selecting:
    """The split that thresholds are chosen on, with one score set's scores of its images."""

    split: str
    rule: Rule
    truth: Truth
    scores: Scores


def contend(
    scores: Scores,
    truth: Truth,
    job: ScoringJob | None = None,
    selecting: Selecting | None = None,
    are_probabilities: bool = False,
    images: Images | None = None,
) -> tuple[Contender, list[str]]:
    """Take a score set to units; give calls and probabilities where something says how.

    Parameters
    ----------
    scores
        By image, as the rows of the manifest.
    truth
        The labels and units of these rows.
    job
        The model, whose own calibration gives probabilities, and thresholds where no split does.
    selecting
        Where thresholds are chosen.
    are_probabilities
        The scores are probabilities as they are.
    images
        What is evaluated: a calibration that was fitted on it is left aside.

    Returns
    -------
    The contender, and notes for the reader.

    Raises
    ------
    ManifestError
        Scores that are called probabilities are not within 0 and 1.
    """
    findings, units = truth.by_unit.findings, truth.units
    values = scores.of(findings)
    notes = [*_partly_scored(scores.name, values, truth), *_without(scores.name, values, findings)]
    by_unit = units.mean(values)
    probabilities: Floats | None = None
    thresholds: Thresholds | None = None
    if are_probabilities:
        check_probabilities(scores)
        probabilities = by_unit
    elif job is not None:
        own = own_calibration(job, units.kind, findings, by_unit, images)
        probabilities, thresholds = own.probabilities, own.thresholds
        notes += [*([own.note] if own.note else []), *adaptation_notes(job, images)]
    if selecting is not None:
        theirs = selecting.truth
        chosen_on = theirs.units.mean(selecting.scores.of(findings))
        thresholds = select_thresholds(theirs.by_unit, chosen_on, selecting.rule, selecting.split)
    if thresholds is not None:
        notes += threshold_notes(truth.by_unit, thresholds)
    else:
        notes.append(NO_CALLS)
    if probabilities is None and job is None:
        notes.append(NO_PROBABILITIES)
    return Contender(scores.name, by_unit, thresholds, probabilities), notes


def _partly_scored(name: str, values: Floats, truth: Truth) -> list[str]:
    there = np.isfinite(values).any(axis=1)
    units = truth.units
    partly = np.intersect1d(units.index[there], units.index[~there])
    if not partly.size:
        return []
    return [f"{name}: {partly.size} {units.plural} have the mean of only some of their images"]


def _without(name: str, values: Floats, findings: Sequence[str]) -> list[str]:
    there = np.isfinite(values)
    absent = [finding for place, finding in enumerate(findings) if not there[:, place].any()]
    return [f"{name} has no scores for {', '.join(absent)}"] if absent else []


def check_probabilities(scores: Scores) -> None:
    """Refuse what is called probabilities and lies outside 0 and 1.

    Raises
    ------
    ManifestError
        There is such a score.
    """
    known = scores.values[np.isfinite(scores.values)]
    outside = known[(known < 0) | (known > 1)]
    if outside.size:
        raise ManifestError(
            f"{outside[0]:g} is no probability", where=scores.name, remedy="leave --probabilities out"
        )
