"""Measure how much the AUC drops when images are corrupted, on the same images, patients and resamplings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.errors import InputError, UsageError
from tier_cli.evaluation.context import Section
from tier_cli.evaluation.intervals import documents, number
from tier_cli.imaging.corrupt import MEANINGS, Corruption, corruptions
from tier_cli.metrics.bootstrap import Estimate, resample
from tier_cli.metrics.statistics import ranking

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.measure import Resampling
    from tier_cli.evaluation.truth import Labelled
    from tier_cli.pipeline.scorer import Scorer

    Floats = NDArray[np.float64]


def robustness_section(kinds: Sequence[str]) -> Section:
    """Return the section ``robustness`` over every level of the given kinds of corruption.

    Raises
    ------
    UsageError
        An unknown kind.
    """
    chosen = corruptions(kinds)
    return Section("robustness", lambda evaluation: _measure(evaluation, chosen))


def _measure(evaluation: Evaluation, chosen: Sequence[Corruption]) -> dict[str, Any]:
    how, truth, units = evaluation.protocol.resampling, evaluation.by_unit, evaluation.units
    clean, *damaged = (units.mean(scores) for scores in _scores(evaluation, chosen, how.seed))
    measured = measure_robustness(truth, clean, np.stack(damaged), chosen, how)
    return {"unit": units.kind, "plural": units.plural, **measured}


def _scores(evaluation: Evaluation, chosen: Sequence[Corruption], seed: int) -> Floats:
    """Score every image clean and under every corruption: (1 + V, N, F), NaN for unusable files."""
    job = evaluation.job
    if job is None:
        raise UsageError(
            "corrupting images needs a model to score them", where="--corrupt", remedy="add --model"
        )
    columns = [job.findings.ids.index(name) for name in evaluation.by_unit.findings]
    each = [_scores_of(member, evaluation, chosen, seed)[..., columns] for member in job.members]
    return np.asarray(np.mean(each, axis=0))


def _scores_of(member: Scorer, evaluation: Evaluation, chosen: Sequence[Corruption], seed: int) -> Floats:
    from tier_cli.pipeline.encode import embeddings

    paths = evaluation.selection.manifest.paths
    scores = np.full((1 + len(chosen), len(paths), len(member.vectors.positive)), np.nan)
    with evaluation.progress(len(paths), "Scoring corrupted images") as tick:
        encoded = embeddings(paths, member, evaluation.options, chosen, seed, tick)
        for place, pooled in enumerate(encoded):
            if not isinstance(pooled, InputError):
                scores[:, place] = member.rate(pooled)
    return scores


def measure_robustness(
    truth: Labelled, clean: Floats, damaged: Floats, chosen: Sequence[Corruption], how: Resampling
) -> dict[str, Any]:
    """Measure the AUC under each corruption, and how much it drops.

    Parameters
    ----------
    truth
        N units with labels of F findings.
    clean
        Scores (N, F) of the clean images.
    damaged
        Scores (V, N, F) under each corruption.
    chosen
        The V corruptions.
    how
        How patients are resampled: alike for every corruption, so that drops are paired.

    Returns
    -------
    The section. A drop is clean minus corrupted: above 0 if the corruption costs performance.
    """
    known = np.isfinite(clean) & np.isfinite(damaged).all(axis=0)
    used = np.asarray((known & np.isfinite(truth.labels)).any(axis=1))
    truth, known = truth.where(used), known[used]
    labels = np.where(known, truth.labels, np.nan)

    every = {place: ranking(labels, scores[used]) for place, scores in enumerate((clean, *damaged))}
    estimates = [
        found["auc"]
        for found in resample(every, truth.patients, replicates=how.replicates, seed=how.seed).values()
    ]
    whole = estimates[0]
    there = np.isfinite(whole.point)
    rows = [
        _row(one, truth.findings, under, whole - under, how.level)
        for one, under in zip(chosen, estimates[1:], strict=True)
    ]
    return {
        "n": len(truth.patients),
        "patients": len(np.unique(truth.patients)),
        "seed": how.seed,
        "meanings": {kind: MEANINGS[kind] for kind in dict.fromkeys(one.kind for one in chosen)},
        "clean": {
            "auc": documents(whole.macro, how.level)[0],
            "averaged": int(there.sum()),
            "findings": [
                {
                    "finding": name,
                    "n": int(np.isfinite(labels[:, place]).sum()),
                    "positives": int((labels[:, place] == 1).sum()),
                    "auc": auc,
                }
                for place, (name, auc) in enumerate(
                    zip(truth.findings, documents(whole, how.level), strict=True)
                )
            ],
        },
        "corruptions": rows,
    }


def _row(
    one: Corruption, findings: Sequence[str], under: Estimate, drop: Estimate, level: float
) -> dict[str, Any]:
    each = zip(findings, documents(under, level), documents(drop, level), strict=True)
    return {
        "corruption": one.kind,
        "level": number(one.level),
        "auc": documents(under.macro, level)[0],
        "drop": documents(drop.macro, level)[0],
        "findings": [{"finding": name, "auc": auc, "drop": lost} for name, auc, lost in each],
    }
