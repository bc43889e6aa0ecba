"""Score the validation images zero-shot after each epoch, as `tier eval` would."""

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
from tier_cli.training.inputs.images import centre_crops

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.model.modeling import TierModel
    from tier_cli.model.tokens import TextTokenizer
    from tier_cli.training.data.labels import LabelledRows
    from tier_cli.training.inputs.images import Pixels

_BATCH = 16
REPLICATES = 1000


@dataclass(frozen=True)
class Validation:
    """Measure a model zero-shot on the validation images.

    Parameters
    ----------
    pixels, rows
        The images, and their rows with labels of the findings to score.
    preprocessing, tokenizer, device
        How images and prompts are prepared, and the device to compute on.
    """

    pixels: Pixels
    rows: LabelledRows
    preprocessing: Preprocessing
    tokenizer: TextTokenizer
    device: torch.device

    def __call__(self, model: TierModel) -> dict[str, float]:
        """Return `aucs` of the model's scores."""
        return self.aucs(self.scores(model))

    def aucs(self, scores: NDArray[np.float64]) -> dict[str, float]:
        """Return the AUC of each finding that has both classes, and their mean; empty if no finding has."""
        labels = self.rows.values
        aucs = {}
        for column, name in enumerate(self.rows.findings.ids):
            known = np.isin(labels[:, column], (0, 1))
            if len(set(labels[known, column])) == 2:
                aucs[name] = auc(labels[known, column], scores[known, column])
        return {"mean_auc": float(np.mean(list(aucs.values()))), **aucs} if aucs else {}

    @torch.no_grad()
    def scores(self, model: TierModel) -> NDArray[np.float64]:
        """Return the scores (N, F) that `tier eval` would give."""
        starts = range(0, len(self.rows), _BATCH)
        rows = [range(first, min(first + _BATCH, len(self.rows))) for first in starts]
        pooled = np.concatenate(
            [_encode(model, self.pixels, part, self.preprocessing, self.device) for part in rows]
        )
        texts = embed_findings(self.rows.findings, _embedder(model, self.tokenizer, self.device))
        return np.asarray(score(pooled, texts, _rule(model)), dtype=np.float64)

    def record(self, scores: NDArray[np.float64]) -> dict[str, Any]:
        """Return the content of validation.json: AUCs with patient-bootstrap intervals, no keys or paths.

        All runs with the same validation patients use the same resamplings of them, so that the replicates of
        two runs' means can be subtracted from each other.
        """
        labels, patients = self.rows.values, self.rows.manifest.patients()
        areas = {"auc": ranking(labels, scores, auprc=False)}
        estimate = resample(areas, patients, replicates=REPLICATES, seed=0)["auc"]["auc"]
        mean = estimate.macro
        intervals = estimate.interval()
        return {
            "images": len(self.rows),
            "patients": len(set(patients.tolist())),
            "replicates": REPLICATES,
            "mean_auc": _numbers(mean.point[0], mean.interval()[0]),
            "findings": {
                name: {
                    "n": int(np.isin(labels[:, column], (0, 1)).sum()),
                    "positives": int((labels[:, column] == 1).sum()),
                    **_numbers(estimate.point[column], intervals[column]),
                }
                for column, name in enumerate(self.rows.findings.ids)
            },
            "replicates_of_mean_auc": [rounded(value) for value in mean.replicates[:, 0]],
        }


def rounded(value: float) -> float | None:
    """Round a number for JSON and CSV; None if it is not finite."""
    return round(float(value), 5) if np.isfinite(value) else None


def _numbers(point: float, interval: NDArray[np.float64]) -> dict[str, float | None]:
    return {"auc": rounded(point), "low": rounded(interval[0]), "high": rounded(interval[1])}


def _encode(
    model: TierModel, pixels: Pixels, rows: range, preprocessing: Preprocessing, device: torch.device
) -> NDArray[np.float32]:
    squares = np.stack([pixels.read(row) for row in rows])
    pooled: NDArray[np.float32] = (
        model.encode_images(centre_crops(squares, preprocessing).to(device)).pooled.cpu().numpy()
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
