"""Combine image scores into unit scores, with the calls and probabilities they allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import ManifestError
from tier_cli.evaluation.calls import adaptation_notes, own_calibration
from tier_cli.evaluation.thresholds import Thresholds, select_thresholds, threshold_notes
from tier_cli.metrics.bootstrap import Estimate
from tier_cli.metrics.statistics import (
    Statistic,
    decisions,
    ece_if_calibrated,
    probabilities,
    ranking,
    recalibration,
    together,
)

if TYPE_CHECKING:
    from tier_cli.evaluation.fitted_on import Images
    from tier_cli.evaluation.scores import Scores
    from tier_cli.evaluation.truth import Truth
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.scoring.operating_points import Rule

NO_CALLS = "no sensitivity, specificity, PPV, F1 and MCC: choose thresholds with --select-on SPLIT"
NO_PROBABILITIES = "no Brier score and no ECE: the scores are not known to be probabilities (--probabilities)"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class UnitScores:
    """One score set by unit, with calls and probabilities where there are any.

    Parameters
    ----------
    name
        The model or the file.
    scores
        (U, F), NaN = none.
    thresholds
        Thresholds of the calls; None = no calls.
    probabilities
        (U, F), NaN = none; None if the scores are not probabilities and no calibration applies.
    """

    name: str
    scores: Floats
    thresholds: Thresholds | None = None
    probabilities: Floats | None = None

    @property
    def calls(self) -> Floats | None:
        """(U, F) 1, 0, NaN; None without thresholds."""
        return None if self.thresholds is None else self.thresholds.calls(self.scores)

    def statistic(self, labels: Floats) -> Statistic:
        """Return everything that can be measured: ranking, then calls, then probabilities."""
        labels = np.where(np.isfinite(self.scores), labels, np.nan)
        parts = [ranking(labels, self.scores)]
        if self.calls is not None:
            parts.append(decisions(labels, self.calls))
        if self.probabilities is not None:
            parts += [probabilities(labels, self.probabilities), recalibration(labels, self.probabilities)]
        return together(*parts)

    def compared(self, labels: Floats) -> Statistic:
        """Return what groups are compared by: the AUC, and sensitivity and specificity of calls."""
        labels = np.where(np.isfinite(self.scores), labels, np.nan)
        areas = ranking(labels, self.scores, auprc=False)
        return areas if self.calls is None else together(areas, decisions(labels, self.calls))

    def ece_if_calibrated(self, labels: Floats, seed: int) -> Estimate | None:
        """Simulate the calibration error of these probabilities if they were calibrated; None without any.

        Parameters
        ----------
        labels
            (U, F); units without a label do not count, and a finding with only one class is NaN.
        seed
            Seed of the simulation.
        """
        if self.probabilities is None:
            return None
        known = np.isfinite(labels) & np.isfinite(self.scores) & np.isfinite(self.probabilities)
        both = (known & (labels == 1)).any(axis=0) & (known & (labels == 0)).any(axis=0)
        drawn = ece_if_calibrated(self.probabilities, known & both, seed=seed)
        return Estimate(drawn.mean(axis=0), drawn)

    def where(self, keep: NDArray[np.bool_]) -> UnitScores:
        """Return the rows for which `keep` (U,) is true."""
        kept = None if self.probabilities is None else self.probabilities[keep]
        return replace(self, scores=self.scores[keep], probabilities=kept)


def common_units(score_sets: Sequence[UnitScores]) -> tuple[UnitScores, ...]:
    """Keep only the scores that every score set has; the others become NaN."""
    in_all = np.isfinite([one.scores for one in score_sets]).all(axis=0)
    return tuple(
        replace(
            one,
            scores=np.where(in_all, one.scores, np.nan),
            probabilities=None if one.probabilities is None else np.where(in_all, one.probabilities, np.nan),
        )
        for one in score_sets
    )


@dataclass(frozen=True)
class SelectionSplit:
    """The split on which thresholds are chosen, with one score set's scores for its images."""

    split: str
    rule: Rule
    truth: Truth
    scores: Scores


@dataclass(frozen=True)
class Note:
    """A remark on one score set.

    Parameters
    ----------
    text
        The remark.
    names_set
        The text itself names the model or the file.
    """

    text: str
    names_set: bool = False


def combine_scores(
    scores: Scores,
    truth: Truth,
    job: ScoringJob | None = None,
    selection_split: SelectionSplit | None = None,
    are_probabilities: bool = False,
    images: Images | None = None,
) -> tuple[UnitScores, list[Note]]:
    """Average scores over units, and add calls and probabilities where something defines them.

    Parameters
    ----------
    scores
        By image, in manifest order.
    truth
        Labels and units of these rows.
    job
        The model, whose own calibration gives probabilities, and thresholds unless a split gives them.
    selection_split
        Where thresholds are chosen.
    are_probabilities
        The scores are probabilities.
    images
        The evaluated images: a calibration fitted on them is not used.

    Returns
    -------
    The unit scores, and notes for the reader.

    Raises
    ------
    ManifestError
        A score that is meant to be a probability is outside [0, 1].
    """
    findings, units = truth.by_unit.findings, truth.units
    values = scores.of(findings)
    notes = [*_partly_scored(scores.name, values, truth), *_unscored(scores.name, values, findings)]
    by_unit = units.mean(values)
    predicted: Floats | None = None
    thresholds: Thresholds | None = None
    if are_probabilities:
        check_probabilities(scores)
        predicted = by_unit
    elif job is not None:
        own = own_calibration(job, units.kind, findings, by_unit, images)
        predicted, thresholds = own.probabilities, own.thresholds
        notes += [Note(own.note)] if own.note else []
        notes += [Note(text, names_set=True) for text in adaptation_notes(job, images)]
    if selection_split is not None:
        chosen_on = selection_split.truth
        chosen_scores = chosen_on.units.mean(selection_split.scores.of(findings))
        thresholds = select_thresholds(
            chosen_on.by_unit, chosen_scores, selection_split.rule, selection_split.split
        )
    if thresholds is not None:
        notes += [Note(text) for text in threshold_notes(truth.by_unit, thresholds)]
    else:
        notes.append(Note(NO_CALLS))
    if predicted is None and job is None:
        notes.append(Note(NO_PROBABILITIES))
    return UnitScores(scores.name, by_unit, thresholds, predicted), notes


def _partly_scored(name: str, values: Floats, truth: Truth) -> list[Note]:
    scored = np.isfinite(values).any(axis=1)
    units = truth.units
    partly = np.intersect1d(units.index[scored], units.index[~scored])
    if not partly.size:
        return []
    text = f"{name}: {partly.size} {units.plural} are scored by the mean of only some of their images"
    return [Note(text, names_set=True)]


def _unscored(name: str, values: Floats, findings: Sequence[str]) -> list[Note]:
    known = np.isfinite(values)
    absent = [finding for place, finding in enumerate(findings) if not known[:, place].any()]
    return [Note(f"{name} has no scores for {', '.join(absent)}", names_set=True)] if absent else []


def check_probabilities(scores: Scores) -> None:
    """Refuse probabilities outside [0, 1].

    Raises
    ------
    ManifestError
        There is such a score.
    """
    known = scores.values[np.isfinite(scores.values)]
    outside = known[(known < 0) | (known > 1)]
    if outside.size:
        raise ManifestError(
            f"{outside[0]:g} is not a probability", where=scores.name, remedy="leave out --probabilities"
        )
