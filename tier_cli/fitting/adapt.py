"""Fit linear scores on a few labelled images, and choose how much of them to mix in, by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import ManifestError
from tier_cli.evaluation.truth import Labelled
from tier_cli.fitting.folds import patient_folds
from tier_cli.fitting.gda import fit_scaled_gda
from tier_cli.fitting.left_out import summary, too_few_patients
from tier_cli.metrics.ranking import auc
from tier_cli.scoring.adaptation import Adaptation, unit

Floats = NDArray[np.float64]

# The fewest patients with the finding, and without it, that a finding is fitted on.
MIN_PATIENTS = 5
FOLDS, REPEATS = 10, 3
MIXES = tuple(round(0.1 * tenth, 1) for tenth in range(11))
_DIGITS = 4


@dataclass(frozen=True)
class Adapted:
    """The outcome of a fit.

    Parameters
    ----------
    adaptation
        None if no mixture was better than the checkpoint's own scores.
    facts
        Fields of adaptation.json: the mixing weight, cross-validated AUCs, and which findings were left out
        and why.
    """

    adaptation: Adaptation | None
    facts: dict[str, Any]


def fit_adaptation(
    pooled: Floats, scores: Floats, truth: Labelled, findings: Sequence[str], seed: int = 0
) -> Adapted:
    """Fit one linear score per finding and choose one mixing weight for all of them.

    There is a single weight because with few images, weights per finding would be chosen by chance. It is the
    one of `MIXES` with the highest mean AUC on images whose patients were left out of the fit.

    Parameters
    ----------
    pooled
        Image embeddings (N, D), of any length.
    scores
        The checkpoint's own scores (N, F') for the findings of `truth`.
    truth
        Labels (N, F'), 1, 0 or NaN for none, with the patient of each row.
    findings
        F ids of the finding set, in order; the adaptation covers all of them.
    seed
        Seed of the folds.

    Raises
    ------
    ManifestError
        If no finding has enough patients with it and without it.
    """
    images = unit(pooled)
    usable, left_out = _usable(truth)
    if not usable:
        raise ManifestError(
            f"no finding can be adapted ({summary(left_out)})", remedy="provide more labelled images"
        )
    curves = {
        name: _left_out_aucs(images, scores[:, number], truth, number, seed)
        for number, name in usable.items()
    }
    means = np.mean(list(curves.values()), axis=0)
    # argmax returns the first of equal values: the smallest weight.
    mix = MIXES[int(np.argmax(means))]
    mean_auc = {str(m): round(float(mean), _DIGITS) for m, mean in zip(MIXES, means, strict=True)}
    facts: dict[str, Any] = {
        "mix": mix,
        "cross_validated": {"folds": FOLDS, "repeats": REPEATS, "seed": seed, "mean_auc": mean_auc},
        "findings": {name: _facts(truth, number, curves[name], mix) for number, name in usable.items()},
        "not_adapted": left_out,
    }
    if mix == 0:
        return Adapted(None, facts)
    return Adapted(_fitted(images, scores, truth, usable, findings, mix), facts)


def _fitted(
    images: Floats,
    scores: Floats,
    truth: Labelled,
    usable: Mapping[int, str],
    findings: Sequence[str],
    mix: float,
) -> Adaptation:
    """Fit the usable findings on all their images; the other findings keep the checkpoint's own scores."""
    weights, bias, mixes = np.zeros((len(findings), images.shape[1])), *np.zeros((2, len(findings)))
    for number, name in usable.items():
        known, place = np.isfinite(truth.labels[:, number]), findings.index(name)
        weights[place], bias[place] = fit_scaled_gda(
            images[known], truth.labels[known, number], scores[known, number]
        )
        mixes[place] = mix
    return Adaptation(weights, bias, mixes, "gda")


def _usable(truth: Labelled) -> tuple[dict[int, str], dict[str, str]]:
    """Return the findings with enough patients, by column, and why the others are left out."""
    usable, left_out = {}, {}
    for number, name in enumerate(truth.findings):
        reason = too_few_patients(truth.labels[:, number], truth.patients, "gda", MIN_PATIENTS)
        if reason:
            left_out[name] = reason
        else:
            usable[number] = name
    return usable, left_out


def _left_out_aucs(images: Floats, scores: Floats, truth: Labelled, number: int, seed: int) -> Floats:
    """Return the AUC at each of `MIXES` (M,) on images whose patients were left out of the fit."""
    known = np.isfinite(truth.labels[:, number])
    images, scores, labels = images[known], scores[known], truth.labels[known, number]
    patients = truth.patients[known]
    areas = np.zeros((REPEATS, len(MIXES)))
    for repeat in range(REPEATS):
        folds = patient_folds(patients, labels, FOLDS, seed + repeat)
        linear = np.zeros_like(scores)
        for fold in np.unique(folds):
            inside, others = folds == fold, folds != fold
            weights, bias = fit_scaled_gda(images[others], labels[others], scores[others])
            linear[inside] = images[inside] @ weights + bias
        areas[repeat] = [auc(labels, (1 - mix) * scores + mix * linear) for mix in MIXES]
    return np.asarray(areas.mean(axis=0))


def _facts(truth: Labelled, number: int, curve: Floats, mix: float) -> dict[str, Any]:
    labels = truth.labels[:, number]
    places = {"own": 0, "mixed": MIXES.index(mix), "gda_alone": len(MIXES) - 1}
    return {
        "n": int(np.isfinite(labels).sum()),
        "positives": int((labels == 1).sum()),
        "auc": {name: round(float(curve[place]), _DIGITS) for name, place in places.items()},
    }
