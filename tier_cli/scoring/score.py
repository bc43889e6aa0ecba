"""Score image embeddings against the vectors of findings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import WEIGHTS
from tier_cli.scoring.products import row_products

if TYPE_CHECKING:
    from pathlib import Path

    from tier_cli.findings.vectors import FindingVectors
    from tier_cli.model.checkpoint import Checkpoint

SCORINGS = ("cosine_difference", "cosine", "softmax_pair", "sigmoid")


class ScoringRule(NamedTuple):
    """How a checkpoint scores.

    Parameters
    ----------
    name
        One of `SCORINGS`.
    scale, bias
        The learned logit scale and bias of ``sigmoid``.
    """

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
        A checkpoint's rule (see `rule_of`), or the name of a rule without learned numbers:

        - ``cosine_difference``: cos(image, positive) - cos(image, negative), in [-2, 2] (Palepu & Beam 2023);
        - ``cosine``: cos(image, positive), in [-1, 1];
        - ``softmax_pair``: exp(cos+) / (exp(cos+) + exp(cos-)), without the logit scale, in [0.12, 0.88]
          (CheXzero, Tiu et al. 2022);
        - ``sigmoid``: 1 / (1 + exp(-(scale cos(image, positive) + bias))), in [0, 1] (SigLIP, Zhai et al.
          2023).

    Returns
    -------
    (N, F) scores; not finite where an embedding is zero or not finite.

    Raises
    ------
    CheckpointError
        If this release does not know the scoring.

    Examples
    --------
    An image that lies closer to the positive than to the negative prompts of one finding:

    >>> from tier_cli.findings.vectors import FindingVectors
    >>> vectors = FindingVectors(positive=np.array([[1.0, 0.0]]), negative=np.array([[0.0, 1.0]]))
    >>> score(np.array([[0.8, 0.6]]), vectors).round(3).tolist()
    [[0.2]]
    >>> score(np.array([[0.8, 0.6]]), vectors, "softmax_pair").round(3).tolist()
    [[0.55]]
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
    """Return whether a scoring depends on the negative prompts."""
    return scoring in ("cosine_difference", "softmax_pair")


def rule_of(checkpoint: Checkpoint) -> ScoringRule:
    """Return a checkpoint's scoring rule, with the numbers that it reads from the weights.

    Raises
    ------
    CheckpointError
        If this release does not know the scoring, or if its numbers are not in the weights.
    """
    check_scoring(checkpoint.scoring)
    if checkpoint.scoring != "sigmoid":
        return ScoringRule(checkpoint.scoring)
    weights = checkpoint.path / WEIGHTS
    scale, bias = math.exp(_number(weights, "logit_scale")), _number(weights, "logit_bias")
    bound = checkpoint.config.get("max_logit_scale")
    return ScoringRule("sigmoid", scale if bound is None else min(scale, float(bound)), bias)


def check_scoring(scoring: str) -> None:
    """Refuse an unknown scoring before any image is read."""
    if scoring not in SCORINGS:
        raise CheckpointError(
            f"unknown scoring '{scoring}'",
            where="config.json",
            remedy=f"use one of {', '.join(SCORINGS)}, or try a newer release of tier",
        )


def _number(path: Path, name: str) -> float:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            return float(file.get_tensor(name).item())
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"cannot read the number '{name}': {error}",
            where=str(path),
            remedy="check the checkpoint with `tier model verify`",
        ) from error


def _cosines(images: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        # (image / |image|) . direction, with the division last, so that there is one product instead of two.
        cosines: NDArray[np.float64] = row_products(images, directions) / np.linalg.norm(
            images, axis=1, keepdims=True
        )
    return cosines


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    # The hyperbolic tangent cannot overflow.
    result: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * x))
    return result
