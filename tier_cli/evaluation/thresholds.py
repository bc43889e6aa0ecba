"""Choose the thresholds of calls on a split other than the evaluated one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import ManifestError, UsageError
from tier_cli.scoring.operating_points import Rule, choose, parse_rule

if TYPE_CHECKING:
    from tier_cli.evaluation.selection import Selection
    from tier_cli.evaluation.truth import Labelled

# With fewer patients of a class than this, a number means little.
FEW = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ChosenOn:
    """The units on which thresholds were chosen, so that resamplings of them can choose anew.

    Parameters
    ----------
    truth, scores
        Labels and scores (N, F).
    rule
        How thresholds are chosen.
    """

    truth: Labelled
    scores: Floats
    rule: Rule


@dataclass(frozen=True)
class Thresholds:
    """The lowest score at which each finding is called present.

    Parameters
    ----------
    source
        Where they come from, for people: ``split valid``, ``the model's calibration``.
    rule
        How they were chosen; empty if only the calibration knows.
    values
        (F,) scores; NaN = none.
    few
        Findings whose threshold rests on fewer than `FEW` patients of one class.
    chosen_on
        What they were chosen on; None if only the calibration knows.
    """

    source: str
    rule: str
    values: Floats
    few: tuple[str, ...] = ()
    chosen_on: ChosenOn | None = None

    def calls(self, scores: Floats) -> Floats:
        """Turn scores (N, F) into calls: 1 = present, 0 = absent, NaN = no score or no threshold."""
        known = np.isfinite(scores) & np.isfinite(self.values)
        return np.where(known, scores >= self.values, np.nan)


def check_rule(text: str) -> Rule:
    """Parse ``--operating-point``.

    Raises
    ------
    UsageError
        The text is not a rule.
    """
    try:
        return parse_rule(text)
    except UsageError as error:
        raise UsageError(error.what, where="--operating-point", remedy=error.remedy) from error


def check_apart(evaluated: Selection, selecting: Selection) -> None:
    """Refuse to choose thresholds on evaluated images: the result would not be a test.

    Raises
    ------
    UsageError
        Both are the same split.
    ManifestError
        They share patients.
    """
    if evaluated.split.lower() == selecting.split.lower():
        raise UsageError(
            f"cannot choose thresholds on the evaluated split {evaluated.split!r}",
            where="--select-on",
            remedy="name another split",
        )
    others = set(selecting.manifest.patients())
    shared = np.array([key in others for key in evaluated.manifest.patients()], dtype=bool)
    if shared.any():
        first = evaluated.manifest.paths[int(np.flatnonzero(shared)[0])]
        raise ManifestError(
            f"{int(shared.sum())} of {shared.size} images of split {evaluated.split} belong to patients who "
            f"are also in {selecting.split}, first {first!r}",
            where="--select-on",
            remedy="split by patient",
        )


def select_thresholds(truth: Labelled, scores: Floats, rule: Rule, split: str) -> Thresholds:
    """Choose one threshold per finding; none if one class is absent.

    Parameters
    ----------
    truth, scores
        Labels and scores (N, F) of the split on which thresholds are chosen.
    rule
        How to choose them.
    split
        Name of that split.
    """
    known = np.isfinite(scores) & np.isfinite(truth.labels)
    values = np.full(len(truth.findings), np.nan)
    few = []
    for number, finding in enumerate(truth.findings):
        labels = truth.labels[known[:, number], number]
        positives = int((labels == 1).sum())
        if 0 < positives < labels.size:
            values[number] = choose(labels, scores[known[:, number], number], rule)
            patients = truth.patients[known[:, number]]
            fewest = min(len(np.unique(patients[labels == label])) for label in (0, 1))
            few += [finding] if fewest < FEW else []
    chosen_on = ChosenOn(truth, scores, rule)
    return Thresholds(f"split {split}", str(rule), values, tuple(few), chosen_on)


def threshold_notes(truth: Labelled, thresholds: Thresholds) -> list[str]:
    """List the findings without a threshold, and those whose threshold rests on few images."""
    notes = []
    without = [f for f, value in zip(truth.findings, thresholds.values, strict=True) if np.isnan(value)]
    if without:
        notes.append(f"no threshold from {thresholds.source}: {', '.join(without)}")
    if thresholds.few:
        few = ", ".join(thresholds.few)
        notes.append(
            f"thresholds chosen on fewer than {FEW} patients of one class of {thresholds.source}: {few}"
        )
    return notes
