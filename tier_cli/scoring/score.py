"""From an image's embedding and the findings' vectors to scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import WEIGHTS

if TYPE_CHECKING:
    from pathlib import Path

    from tier_cli.findings.vectors import FindingVectors
    from tier_cli.model.checkpoint import Checkpoint

SCORINGS = ("cosine_difference", "cosine", "softmax_pair", "sigmoid")


class ScoringRule(NamedTuple):
    """How a checkpoint scores: the rule's name, and the learned factor and bias of ``sigmoid``."""

    name: str
    scale: float = 1.0
    bias: float = 0.0


def score(
    pooled: NDArray[np.floating], vectors: FindingVectors, scoring: str | ScoringRule = "cosine_difference"
) -> NDArray[np.float64]:
    """Score images for findings.

    Parameters
    ----------
    pooled
        Global image embeddings (N, D), of any length.
    vectors
        The findings' unit vectors, (F, D) each.
    scoring
        A checkpoint's rule (`rule_of`), or the name of a rule that has no numbers:

        - ``cosine_difference``: cos(image, positive) - cos(image, negative), in [-2, 2] (Palepu & Beam 2023);
        - ``cosine``: cos(image, positive), in [-1, 1];
        - ``softmax_pair``: exp(cos+) / (exp(cos+) + exp(cos-)), without the logit scale, in [0.12, 0.88]
          (CheXzero, Tiu et al. 2022);
        - ``sigmoid``: 1 / (1 + exp(-(scale cos(image, positive) + bias))), in [0, 1] (SigLIP, Zhai et al.
          2023).

    Returns
    -------
    (N, F). Not finite where an embedding is zero or not finite.

    Raises
    ------
    CheckpointError
        Where the scoring is unknown here.
    """
    if scoring == "sigmoid":
        raise ValueError("sigmoid needs the checkpoint's scale and bias: give `rule_of(checkpoint)`")
    rule = ScoringRule(scoring) if isinstance(scoring, str) else scoring
    check_scoring(rule.name)
    directions = vectors.positive.astype(np.float64)
    if uses_negatives(rule.name):
        directions = directions - vectors.negative
    cosines = _cosines(np.asarray(pooled, dtype=np.float64), directions)
    if rule.name == "softmax_pair":
        return _logistic(cosines)
    if rule.name == "sigmoid":
        return _logistic(rule.scale * cosines + rule.bias)
    return cosines


def uses_negatives(scoring: str) -> bool:
    """Whether what a scoring gives depends on the negative prompts."""
    return scoring in ("cosine_difference", "softmax_pair")


def rule_of(checkpoint: Checkpoint) -> ScoringRule:
    """How a checkpoint scores, with the numbers that its scoring takes from its weights.

    Raises
    ------
    CheckpointError
        Where the scoring is unknown here or its numbers are not in the weights.
    """
    check_scoring(checkpoint.scoring)
    if checkpoint.scoring != "sigmoid":
        return ScoringRule(checkpoint.scoring)
    weights = checkpoint.path / WEIGHTS
    scale, bias = math.exp(_number(weights, "logit_scale")), _number(weights, "logit_bias")
    bound = checkpoint.config.get("max_logit_scale")
    return ScoringRule("sigmoid", scale if bound is None else min(scale, float(bound)), bias)


def check_scoring(scoring: str) -> None:
    """Refuse a checkpoint whose rule of scoring is unknown here, before any image is read."""
    if scoring not in SCORINGS:
        raise CheckpointError(
            f"the scoring '{scoring}' is unknown",
            where="config.json",
            remedy=f"known are: {', '.join(SCORINGS)}; a newer release may know it",
        )


def _number(path: Path, name: str) -> float:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            return float(file.get_tensor(name).item())
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"no number '{name}': {error}", where=str(path)) from error


def _cosines(images: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        # Dividing last: (image / |image|) . direction, with one product instead of two.
        cosines: NDArray[np.float64] = (images @ directions.T) / np.linalg.norm(images, axis=1, keepdims=True)
    return cosines


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    # By the hyperbolic tangent, which cannot overflow.
    result: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * x))
    return result
