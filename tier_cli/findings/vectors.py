"""Compute finding vectors: one positive and one negative direction per finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import FindingSetError
from tier_cli.findings.schema import FindingSet

Embed = Callable[[Sequence[str]], NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class FindingVectors:
    """The directions that image features are compared with.

    Parameters
    ----------
    positive, negative
        float32 (F, D), unit rows in the order of the finding set.
    """

    positive: NDArray[np.float32]
    negative: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.positive.ndim != 2 or self.positive.shape != self.negative.shape:
            raise ValueError(
                f"finding vectors must be two (F, D) arrays of equal shape, "
                f"not {self.positive.shape} and {self.negative.shape}"
            )


def embed_findings(fs: FindingSet, embed: Embed) -> FindingVectors:
    """Average the embeddings of each finding's prompts and normalise (the TIER paper's scoring).

    Parameters
    ----------
    fs
        The finding set, F findings.
    embed
        Embeds n texts into (n, D); called once, with every distinct prompt. Unit rows give the paper's mean;
        unnormalised projections are weighted by their length, as in BioViL.

    Raises
    ------
    FindingSetError
        The prompts of a finding have no common direction, or an embedding is not finite.

    Examples
    --------
    >>> from tier_cli.findings.schema import Finding
    >>> known = {"A mass.": [1.0, 0.0], "Mass.": [0.0, 1.0], "No mass.": [-1.0, 0.0]}
    >>> fs = FindingSet("mine", (Finding("mass", "Mass", (), ("A mass.", "Mass."), ("No mass.",)),))
    >>> vectors = embed_findings(fs, lambda prompts: np.array([known[prompt] for prompt in prompts]))
    >>> vectors.positive.round(3).tolist()
    [[0.7070000171661377, 0.7070000171661377]]
    """
    prompts = list(dict.fromkeys(p for f in fs.findings for p in (*f.positive, *f.negative)))
    rows = np.asarray(embed(prompts), dtype=np.float64)
    if rows.ndim != 2 or len(rows) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts gave embeddings of shape {rows.shape}")
    at = dict(zip(prompts, rows, strict=True))
    return FindingVectors(
        positive=_directions(fs, "positive", at),
        negative=_directions(fs, "negative", at),
    )


def _directions(fs: FindingSet, side: str, at: dict[str, NDArray[np.float64]]) -> NDArray[np.float32]:
    directions = []
    for finding in fs.findings:
        mean = np.mean([at[prompt] for prompt in getattr(finding, side)], axis=0)
        length = float(np.linalg.norm(mean))
        if not np.isfinite(length) or length < 1e-6:
            raise FindingSetError(
                f"the embeddings of the {side} prompts have no common direction",
                where=f"{fs.name} [findings.{finding.id}] {side}",
                remedy="write prompts that agree, or check the checkpoint (tier model verify)",
            )
        directions.append(mean / length)
    return np.asarray(directions, dtype=np.float32)
