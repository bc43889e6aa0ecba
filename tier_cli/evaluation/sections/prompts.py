"""Measure how much a finding's AUC depends on the prompts: each positive one against each negative one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.errors import UsageError
from tier_cli.evaluation.context import Section
from tier_cli.evaluation.intervals import number
from tier_cli.metrics.ranking import auc, macro_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.evaluation.context import Evaluation
    from tier_cli.findings.schema import Finding
    from tier_cli.findings.vectors import FindingVectors
    from tier_cli.pipeline.scorer import Scorer

    Floats = NDArray[np.float64]

# A positive and a negative prompt; None if the scoring uses no negative prompts.
Pair = tuple[str, str | None]
SPREAD = ("min", "median", "max", "sd")


def prompts_section() -> Section:
    """Return the section ``prompts``."""
    return Section("prompts", _measure)


def _measure(evaluation: Evaluation) -> dict[str, Any]:
    from tier_cli.scoring.score import uses_negatives

    job = evaluation.job
    if job is None:
        raise UsageError(
            "measuring prompts needs a model", where="--prompt-sensitivity", remedy="add --model"
        )
    truth = evaluation.by_unit
    findings = [finding for finding in job.findings.findings if finding.id in truth.findings]
    scorers = [
        _PromptScorer(member, findings, images)
        for member, images in zip(job.members, evaluation.embeddings, strict=True)
    ]

    def combined(finding: Finding) -> Floats:
        place = job.findings.ids.index(finding.id)
        each = [one.scores(_only(one.member.vectors, place)) for one in scorers]
        return np.asarray(evaluation.units.mean(np.mean(each, axis=0))[:, 0])

    def of_pairs(pairs: Sequence[Pair]) -> Floats:
        each = [one.scores(one.vectors(pairs)) for one in scorers]
        return evaluation.units.mean(np.asarray(np.mean(each, axis=0)))

    with_negatives = uses_negatives(job.checkpoint.scoring)
    rows, scored = [], 0
    for finding in findings:
        labels, own = truth.labels[:, truth.findings.index(finding.id)], combined(finding)
        rows.append(prompt_spread(finding, labels, own, of_pairs, with_negatives))
        scored = int(np.isfinite(own).sum())
    return {"unit": evaluation.units.kind, "plural": evaluation.units.plural, "n": scored, **_document(rows)}


def _only(vectors: FindingVectors, place: int) -> FindingVectors:
    from tier_cli.findings.vectors import FindingVectors

    return FindingVectors(vectors.positive[place : place + 1], vectors.negative[place : place + 1])


class _PromptScorer:
    """Score images by single prompts with one model, without its adaptation.

    Parameters
    ----------
    member
        The model.
    findings
        The findings whose prompts are embedded.
    images
        (N, D) embeddings of all images.
    """

    def __init__(self, member: Scorer, findings: Sequence[Finding], images: NDArray[np.float32]):
        texts = list(dict.fromkeys(text for f in findings for text in (*f.positive, *f.negative)))
        self.member = member
        self._texts = dict(zip(texts, member.engine.embed_texts(texts), strict=True))
        self._images = images

    def vectors(self, pairs: Sequence[Pair]) -> FindingVectors:
        """Return one direction per pair."""
        from tier_cli.findings.vectors import FindingVectors

        positive = np.stack([self._texts[pair[0]] for pair in pairs])
        negative = np.stack(
            [self._texts[pair[1]] if pair[1] else np.zeros_like(positive[0]) for pair in pairs]
        )
        return FindingVectors(positive, negative)

    def scores(self, vectors: FindingVectors) -> Floats:
        """Score every image (N, K); NaN for unusable files."""
        from tier_cli.scoring.score import score

        return score(self._images, vectors, self.member.rule)


def prompt_spread(
    finding: Finding,
    labels: Floats,
    combined: Floats,
    of_pairs: Callable[[Sequence[Pair]], Floats],
    with_negatives: bool = True,
) -> dict[str, Any]:
    """Measure the AUC of each pair of a finding's prompts, and of all together.

    Parameters
    ----------
    finding
        The finding and its prompts.
    labels, combined
        (N,) labels, and scores by the mean vectors of all prompts.
    of_pairs
        Returns scores (N, K) for K pairs of prompts.
    with_negatives
        Whether the scoring uses negative prompts; if not, each positive prompt is measured alone.

    Returns
    -------
    The row of the section: pairs in the order of the finding set, AUC None if there is only one class.
    """
    negatives: tuple[str | None, ...] = finding.negative if with_negatives else (None,)
    pairs = list(product(finding.positive, negatives))
    values = of_pairs(pairs)
    each = np.array([auc(labels, column) for column in values.T])
    known = labels[np.isfinite(labels) & np.isfinite(combined)]
    return {
        "finding": finding.id,
        "n": len(known),
        "positives": int((known == 1).sum()),
        "combined": number(auc(labels, combined)),
        **_spread(each),
        "pairs": [
            {"positive": positive, "negative": negative, "auc": number(value)}
            for (positive, negative), value in zip(pairs, each, strict=True)
        ],
    }


def _spread(values: Floats) -> dict[str, float | None]:
    if not np.isfinite(values).all():
        return dict.fromkeys(SPREAD)
    found = (values.min(), np.median(values), values.max(), values.std())
    return {name: number(value) for name, value in zip(SPREAD, found, strict=True)}


def _document(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    known = [row for row in rows if row["min"] is not None]
    macro = {name: number(float(macro_mean([row[name] for row in known]))) for name in ("combined", *SPREAD)}
    return {"averaged": len(known), "macro": macro, "findings": list(rows)}
