# ruff: noqa: TID253
"""Zero-shot scores of the validation images after each epoch, as `tier eval` would give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from tier_cli.evaluation.metrics import auc
from tier_cli.findings.vectors import embed_findings
from tier_cli.model.tokens import embed_in_batches, project_in_batches
from tier_cli.scoring.score import ScoringRule, score
from tier_cli.training.images import centred

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.model.modeling import TierModel
    from tier_cli.model.tokens import TextTokenizer
    from tier_cli.training.images import Pixels

_BATCH = 16


def labelled(manifest: Manifest, findings: FindingSet) -> Manifest:
    """The rows with a label that says yes or no to one of the findings."""
    return manifest.where(np.asarray(np.isin(manifest.labels(findings), (0, 1)).any(axis=1)))


def validator(
    pixels: Pixels,
    labels: NDArray[np.float64],
    findings: FindingSet,
    preprocessing: Preprocessing,
    tokenizer: TextTokenizer,
    device: torch.device,
) -> Callable[[TierModel], dict[str, float]]:
    """A function that gives a model's zero-shot AUC of each finding with both classes, and their mean.

    Parameters
    ----------
    pixels, labels
        The validation images, and their labels (N, F).
    findings, preprocessing, tokenizer, device
        What they are scored for, with, and where.
    """

    @torch.no_grad()
    def check(model: TierModel) -> dict[str, float]:
        pooled = np.concatenate(
            [
                _encode(model, pixels, range(first, min(first + _BATCH, len(labels))), preprocessing, device)
                for first in range(0, len(labels), _BATCH)
            ]
        )
        scores = score(pooled, embed_findings(findings, _embedder(model, tokenizer, device)), _rule(model))
        aucs = {}
        for column, name in enumerate(findings.ids):
            known = np.isin(labels[:, column], (0, 1))
            if len(set(labels[known, column])) == 2:
                aucs[name] = auc(labels[known, column], scores[known, column])
        return {"mean_auc": float(np.mean(list(aucs.values()))), **aucs} if aucs else {}

    return check


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
