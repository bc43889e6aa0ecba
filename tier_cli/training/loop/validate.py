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
from tier_cli.model.modeling import TierModel
from tier_cli.model.tokens import embed_in_batches, project_in_batches
from tier_cli.scoring.score import ScoringRule, score
from tier_cli.training.inputs.images import centre_crops, scoring_inputs
from tier_cli.training.progress import Stage, no_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.model.tokens import TextTokenizer
    from tier_cli.training.data.labels import LabelledRows
    from tier_cli.training.inputs.images import Pixels
    from tier_cli.training.progress import TrainingProgress

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
    progress
        Where progress is reported.
    """

    pixels: Pixels
    rows: LabelledRows
    preprocessing: Preprocessing
    tokenizer: TextTokenizer
    device: torch.device
    progress: TrainingProgress = no_progress

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
        """Return scores (N, F) from the squares of bytes that training reads.

        They differ from those of `written_scores` by less than half a grey level and the rounding of weights.
        """
        starts = range(0, len(self.rows), _BATCH)
        parts = (range(first, min(first + _BATCH, len(self.rows))) for first in starts)
        return self._scored(model, (self._crops(part) for part in parts))

    @torch.no_grad()
    def written_scores(self, folder: Path, workers: int) -> NDArray[np.float64]:
        """Return the scores (N, F) of a written checkpoint, as `tier eval` gives them.

        Parameters
        ----------
        folder
            The checkpoint, with its weights as they were rounded.
        workers
            Processes that read the images again.

        Raises
        ------
        InputError
            An image can no longer be read.
        """
        model = TierModel.from_pretrained(folder).float().to(self.device).eval()
        paths = self.rows.manifest.paths
        return self._scored(model, scoring_inputs(paths, self.preprocessing, workers, _BATCH))

    def _crops(self, rows: range) -> Tensor:
        return centre_crops(np.stack([self.pixels.read(row) for row in rows]), self.preprocessing)

    def _scored(self, model: TierModel, batches: Iterable[Tensor]) -> NDArray[np.float64]:
        pooled: list[NDArray[np.float32]] = []
        done = 0
        self.progress(Stage.VALIDATING, 0, len(self.rows))
        for batch in batches:
            pooled.append(model.encode_images(batch.to(self.device)).pooled.cpu().numpy())
            done += len(batch)
            self.progress(Stage.VALIDATING, done, len(self.rows))
        texts = embed_findings(self.rows.findings, _embedder(model, self.tokenizer, self.device))
        return np.asarray(score(np.concatenate(pooled), texts, _rule(model)), dtype=np.float64)

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
