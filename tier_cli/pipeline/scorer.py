"""Score prepared images with one model and one finding set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from tier_cli.errors import UsageError
from tier_cli.results.record import ModelStamp
from tier_cli.scoring.score import ScoringRule, rule_of, score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tier_cli.findings.schema import FindingSet
    from tier_cli.findings.vectors import FindingVectors
    from tier_cli.model.checkpoint import Checkpoint
    from tier_cli.model.engine import Engine
    from tier_cli.scoring.adaptation import Adaptation

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Scorer:
    """One model with the vectors of a finding set.

    Parameters
    ----------
    checkpoint, engine
        The model, and the engine that computes it.
    vectors
        The finding set in the embedding space of `checkpoint`, (F, D) each.
    adaptation
        The adaptation mixed into the scores; None without one.
    note
        Why the checkpoint's adaptation is not used; added to every result.
    """

    checkpoint: Checkpoint
    engine: Engine
    vectors: FindingVectors
    adaptation: Adaptation | None = None
    note: str = ""

    @property
    def scoring(self) -> str:
        """The name of the rule that the scores come from."""
        own = self.checkpoint.scoring
        return own if self.adaptation is None else f"{own}+{self.adaptation.method}"

    @cached_property
    def rule(self) -> ScoringRule:
        """The checkpoint's own scoring rule."""
        return rule_of(self.checkpoint)

    def score(self, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
        """Score prepared images (N, 3, S, S) and return (N, F).

        Raises
        ------
        UsageError
            If the batch does not fit into memory.
        """
        return self.rate(self.encode(pixels))

    def rate(self, pooled: NDArray[np.floating]) -> NDArray[np.float64]:
        """Score global image embeddings (N, D) of any length, as `encode` returns them; return (N, F)."""
        scores = self.own_scores(pooled)
        return scores if self.adaptation is None else self.adaptation.apply(pooled, scores)

    def own_scores(self, pooled: NDArray[np.floating]) -> NDArray[np.float64]:
        """Score as `rate` does, without the adaptation."""
        return score(pooled, self.vectors, self.rule)

    def encode(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed prepared images (N, 3, S, S) as (N, D), not L2-normalised; raises as `score` does."""
        return within_memory(self.engine, self.engine.encode_images, pixels)

    def stamp(self, findings: FindingSet) -> ModelStamp:
        """Return the model's identity for results."""
        hashes = self.checkpoint.hashes
        adapted = self.adaptation.hash if self.adaptation else ""
        return ModelStamp(
            self.checkpoint.name, hashes["weights"], hashes["preprocessing"], findings.hash, adapted
        )


def within_memory(
    engine: Engine, compute: Callable[[NDArray[np.float32]], _T], pixels: NDArray[np.float32]
) -> _T:
    """Compute a batch of prepared images (N, 3, S, S).

    Raises
    ------
    UsageError
        If the batch does not fit into memory.
    """
    try:
        return compute(pixels)
    except RuntimeError as error:
        if "out of memory" not in str(error).lower():
            raise
        raise UsageError(
            f"a batch of {len(pixels)} images does not fit into the memory of '{engine.device}'",
            remedy="choose a smaller --batch-size",
        ) from error


def run_stamp(members: Sequence[Scorer], findings: FindingSet) -> ModelStamp:
    """Return the identity of the model or ensemble that a run scores with."""
    stamps = tuple(member.stamp(findings) for member in members)
    if len(stamps) == 1:
        return stamps[0]
    return ModelStamp(
        name=" + ".join(stamp.name for stamp in stamps),
        weights=_joint(stamp.weights + stamp.adaptation for stamp in stamps),
        preprocessing=_joint(stamp.preprocessing for stamp in stamps),
        findings=findings.hash,
        members=stamps,
    )


def _joint(hashes: Iterable[str]) -> str:
    """Return the SHA-256 of hashes, regardless of their order."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode("ascii")).hexdigest()
