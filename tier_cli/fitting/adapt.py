"""Adapting scores to a few labelled images: what is fitted, and how much of it helps, judged by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import ManifestError
from tier_cli.evaluation.truth import Labelled
from tier_cli.fitting.folds import count_patients, patient_folds
from tier_cli.fitting.gda import fit_like
from tier_cli.metrics.ranking import auc
from tier_cli.scoring.adaptation import Adaptation, unit

Floats = NDArray[np.float64]

# So many patients with the finding, and as many without it, a finding is fitted on at least.
LEAST_PATIENTS = 5
FOLDS, REPEATS = 10, 3
MIXES = tuple(round(0.1 * tenth, 1) for tenth in range(11))
_DIGITS = 4


@dataclass(frozen=True)
class Adapted:
    """What came of it.

    Parameters
    ----------
    adaptation
        None where no mixture was better than the checkpoint's own scores.
    facts
        What adaptation.json says: the mixing weight, cross-validated AUCs, and what was left out and why.
    """

    adaptation: Adaptation | None
    facts: dict[str, Any]


def adapt(pooled: Floats, scores: Floats, truth: Labelled, findings: Sequence[str], seed: int = 0) -> Adapted:
    """Fit a linear score a finding and choose one mixing weight for all of them.

    One weight, for a weight a finding is chosen by chance when there are few images. It is the one of `MIXES`
    with the highest mean AUC of images whose patients were left out of the fit.

    Parameters
    ----------
    pooled
        Image embeddings (N, D), of any length.
    scores
        The checkpoint's own (N, F'), for the findings of `truth`.
    truth
        Labels (N, F') with the patient of each row: 1, 0, NaN = none.
    findings
        F ids of the finding set, in order: the result is as wide.
    seed
        Seed of the folds.

    Raises
    ------
    ManifestError
        No finding has enough patients on either side.
    """
    images = unit(pooled)
    usable, left_out = _usable(truth)
    if not usable:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(left_out.items())[:3])
        raise ManifestError(f"no finding can be adapted ({reasons})", remedy="give more labelled images")
    curves = {
        name: _left_out_aucs(images, scores[:, number], truth, number, seed)
        for number, name in usable.items()
    }
    means = np.mean(list(curves.values()), axis=0)
    # The first of equals: the least that is mixed in.
    mix = MIXES[int(np.argmax(means))]
    judged = {str(m): round(float(mean), _DIGITS) for m, mean in zip(MIXES, means, strict=True)}
    facts: dict[str, Any] = {
        "mix": mix,
        "cross_validated": {"folds": FOLDS, "repeats": REPEATS, "seed": seed, "mean_auc": judged},
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
    """Fit the usable findings on all their images; the others of the finding set keep their own scores."""
    weights, bias, mixes = np.zeros((len(findings), images.shape[1])), *np.zeros((2, len(findings)))
    for number, name in usable.items():
        known, place = np.isfinite(truth.labels[:, number]), findings.index(name)
        fit = fit_like(images[known], truth.labels[known, number], scores[known, number])
        weights[place], bias[place] = fit
        mixes[place] = mix
    return Adaptation(weights, bias, mixes, "gda")


def _usable(truth: Labelled) -> tuple[dict[int, str], dict[str, str]]:
    """Which findings have enough patients, and why the others are left out."""
    usable, left_out = {}, {}
    for number, name in enumerate(truth.findings):
        labels = truth.labels[:, number]
        counts = {
            "with": count_patients(truth.patients, labels == 1),
            "without": count_patients(truth.patients, labels == 0),
        }
        kind = min(counts, key=lambda side: counts[side])
        if counts[kind] < LEAST_PATIENTS:
            patients = "patient" if counts[kind] == 1 else "patients"
            left_out[name] = f"{counts[kind]} {patients} {kind} the finding, it takes {LEAST_PATIENTS}"
        else:
            usable[number] = name
    return usable, left_out


def _left_out_aucs(images: Floats, scores: Floats, truth: Labelled, number: int, seed: int) -> Floats:
    """The AUC at each of `MIXES` (M,), over images whose patients were left out of the fit."""
    known = np.isfinite(truth.labels[:, number])
    images, scores, labels = images[known], scores[known], truth.labels[known, number]
    patients = truth.patients[known]
    areas = np.zeros((REPEATS, len(MIXES)))
    for repeat in range(REPEATS):
        folds = patient_folds(patients, labels, FOLDS, seed + repeat)
        linear = np.zeros_like(scores)
        for fold in np.unique(folds):
            inside, rest = folds == fold, folds != fold
            weights, bias = fit_like(images[rest], labels[rest], scores[rest])
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
