"""Zero-shot scores of the validation images after each epoch, as `tier eval` would give them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tier_cli.findings.vectors import embed_findings
from tier_cli.metrics.bootstrap import resample
from tier_cli.metrics.ranking import auc
from tier_cli.metrics.statistics import ranking
from tier_cli.model.tokens import embed_in_batches, project_in_batches
from tier_cli.scoring.score import ScoringRule, score
from tier_cli.training.inputs.images import centred
from tier_cli.training.sweep.results import rounded

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.model.modeling import TierModel
    from tier_cli.model.tokens import TextTokenizer
    from tier_cli.training.inputs.images import Pixels

_BATCH = 16
REPLICATES = 1000


@dataclass(frozen=True)
class Validation:
    """Measures a model on the watched images, zero-shot.

    Parameters
    ----------
    pixels, manifest
        The images, and their rows.
    findings, preprocessing, tokenizer, device
        What they are scored for, with, and where.
    """

    pixels: Pixels
    manifest: Manifest
    findings: FindingSet
    preprocessing: Preprocessing
    tokenizer: TextTokenizer
    device: torch.device

    def __call__(self, model: TierModel) -> dict[str, float]:
        """As `aucs`, of what the model scores."""
        return self.aucs(self.scores(model))

    def aucs(self, scores: NDArray[np.float64]) -> dict[str, float]:
        """AUC of each finding with both classes, and their mean; empty where there is none."""
        labels = self.manifest.labels(self.findings)
        aucs = {}
        for column, name in enumerate(self.findings.ids):
            known = np.isin(labels[:, column], (0, 1))
            if len(set(labels[known, column])) == 2:
                aucs[name] = auc(labels[known, column], scores[known, column])
        return {"mean_auc": float(np.mean(list(aucs.values()))), **aucs} if aucs else {}

    @torch.no_grad()
    def scores(self, model: TierModel) -> NDArray[np.float64]:
        """Scores (N, F), as `tier eval` would give them."""
        starts = range(0, len(self.manifest), _BATCH)
        rows = [range(first, min(first + _BATCH, len(self.manifest))) for first in starts]
        pooled = np.concatenate(
            [_encode(model, self.pixels, part, self.preprocessing, self.device) for part in rows]
        )
        texts = embed_findings(self.findings, _embedder(model, self.tokenizer, self.device))
        return np.asarray(score(pooled, texts, _rule(model)), dtype=np.float64)

    def judged(self, scores: NDArray[np.float64]) -> dict[str, Any]:
        """What validation.json holds: AUCs with intervals by patient bootstrap; no keys, no paths.

        All runs that watch the same patients draw the same resamplings of them, so that the replicates of
        two runs' means can be subtracted from each other.
        """
        labels, patients = self.manifest.labels(self.findings), self.manifest.patients()
        areas = {"auc": ranking(labels, scores, auprc=False)}
        estimate = resample(areas, patients, replicates=REPLICATES, seed=0)["auc"]["auc"]
        mean = estimate.macro
        intervals = estimate.interval()
        return {
            "images": len(self.manifest),
            "patients": len(set(patients.tolist())),
            "replicates": REPLICATES,
            "mean_auc": _numbers(mean.point[0], mean.interval()[0]),
            "findings": {
                name: {
                    "n": int(np.isin(labels[:, column], (0, 1)).sum()),
                    "positives": int((labels[:, column] == 1).sum()),
                    **_numbers(estimate.point[column], intervals[column]),
                }
                for column, name in enumerate(self.findings.ids)
            },
            "replicates_of_mean_auc": [rounded(value) for value in mean.replicates[:, 0]],
        }


def _numbers(point: float, interval: NDArray[np.float64]) -> dict[str, float | None]:
    return {"auc": rounded(point), "low": rounded(interval[0]), "high": rounded(interval[1])}


def _encode(
    model: TierModel, pixels: Pixels, rows: range, preprocessing: Preprocessing, device: torch.device
) -> NDArray[np.float32]:
    squares = np.stack([pixels.read(row) for row in rows])
    pooled: NDArray[np.float32] = (
        model.encode_images(centred(squares, preprocessing).to(device)).pooled.cpu().numpy()
    )
    return pooled


def _embedder(
    model: TierModel, tokenizer: TextTokenizer, device: torch.device
) -> Callable[..., NDArray[np.float32]]:
    def encode(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        texts = (torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device))
        pooled: NDArray[np.float32] = model.encode_texts(*texts).pooled.cpu().numpy()
        return pooled

    in_batches = embed_in_batches if model.config.prompt_average == "unit" else project_in_batches
    return lambda texts: in_batches(texts, encode, tokenizer)


def _rule(model: TierModel) -> ScoringRule:
    bias = 0.0 if model.logit_bias is None else model.logit_bias.item()
    return ScoringRule(model.config.scoring, model.scale().item(), bias)
