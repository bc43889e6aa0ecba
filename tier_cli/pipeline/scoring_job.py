"""What a run scores with: opened checkpoints, their engines, and the vectors of a finding set."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tier_cli.errors import UsageError
from tier_cli.findings.load import load_findings
from tier_cli.model.checkpoint import Checkpoint, open_checkpoint
from tier_cli.model.engine import Engine, open_engine
from tier_cli.model.ensemble import members
from tier_cli.model.finding_vectors import finding_vectors
from tier_cli.pipeline.scorer import Scorer, run_stamp
from tier_cli.pipeline.stream import StreamOptions, classify
from tier_cli.scoring.adaptation import AdaptationKey, read_adaptation
from tier_cli.scoring.score import check_scoring

if TYPE_CHECKING:
    from tier_cli.findings.schema import FindingSet
    from tier_cli.findings.vectors import FindingVectors
    from tier_cli.imaging.discover import Source
    from tier_cli.results.record import ModelStamp, Result


@dataclass(frozen=True)
class ScoringJob:
    """A model, or several whose scores are averaged, with what it looks for."""

    members: tuple[Scorer, ...]
    findings: FindingSet

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint; of an ensemble, the first."""
        return self.members[0].checkpoint

    @property
    def engine(self) -> Engine:
        """What computes it; of an ensemble, the first."""
        return self.members[0].engine

    @property
    def vectors(self) -> FindingVectors:
        """The finding set in the space of `checkpoint`, (F, D) each."""
        return self.members[0].vectors

    @property
    def scoring(self) -> str:
        """The name of the rule that the scores come from."""
        return self.members[0].scoring

    @property
    def stamp(self) -> ModelStamp:
        """The model, or the ensemble, as results name it."""
        return run_stamp(self.members, self.findings)

    def classify(
        self, sources: Iterable[Source], options: StreamOptions, tick: Callable[[], object] = lambda: None
    ) -> Generator[Result, None, None]:
        """Score sources: see `tier_cli.pipeline.stream.classify`."""
        return classify(sources, self.members, self.findings, options, tick)


def open_job(
    model: str | Sequence[str], findings: str | None = None, engine: str = "auto", device: str = "auto"
) -> ScoringJob:
    """Open one or several checkpoints and get the vectors of a finding set, their own by default.

    Parameters
    ----------
    model
        One checkpoint, or a list, in which an ensemble counts as its members.
    findings, engine, device
        See `load_findings` and `open_engine`.

    Raises
    ------
    TierError
        Where a checkpoint, the finding set, the engine or the device cannot be used, or where checkpoints
        do not go together.
    """
    # A caller that can use one checkpoint only gives no list, and an ensemble is refused.
    names = [model] if isinstance(model, str) else [path for name in model for path in members(name)]
    checkpoints = [open_checkpoint(name) for name in names]
    for checkpoint in checkpoints:
        check_scoring(checkpoint.scoring)
    chosen = load_findings(findings, checkpoints[0].findings)
    if findings is None:
        _check_same_findings(checkpoints)
    opened = tuple(_member(checkpoint, chosen, engine, device) for checkpoint in checkpoints)
    _check_together(opened, chosen)
    return ScoringJob(opened, chosen)


def _member(checkpoint: Checkpoint, findings: FindingSet, engine: str, device: str) -> Scorer:
    opened = open_engine(checkpoint, engine, device)
    vectors = finding_vectors(checkpoint, findings, lambda: opened)
    adaptation, note = read_adaptation(checkpoint.path, adaptation_key(checkpoint, findings))
    if adaptation is not None and adaptation.weights.shape != vectors.positive.shape:
        raise UsageError(
            f"the adaptation is of shape {adaptation.weights.shape}, the findings {vectors.positive.shape}",
            where=str(checkpoint.path),
            remedy="adapt again with `tier adapt`",
        )
    return Scorer(checkpoint, opened, vectors, adaptation, note)


def adaptation_key(checkpoint: Checkpoint, findings: FindingSet) -> AdaptationKey:
    """What an adaptation of a checkpoint for a finding set is keyed by."""
    return AdaptationKey(
        checkpoint.hashes["weights"], findings.hash, checkpoint.preprocessing.rendering, checkpoint.scoring
    )


def _check_same_findings(checkpoints: Sequence[Checkpoint]) -> None:
    first = checkpoints[0]
    for other in checkpoints[1:]:
        if other.findings.hash != first.findings.hash:
            raise UsageError(
                f"{first.name} and {other.name} have different finding sets of their own",
                where="--model",
                remedy="name one set for all of them with --findings",
            )


def _check_together(members: Sequence[Scorer], findings: FindingSet) -> None:
    """Only scores that mean the same can be averaged, and each model counts once."""
    first, seen = members[0], set()
    for member in members:
        stamp = member.stamp(findings)
        if member.scoring != first.scoring:
            raise UsageError(
                f"{first.checkpoint.name} scores by {first.scoring}, {stamp.name} by {member.scoring}",
                where="--model",
                remedy="average models of one scoring only",
            )
        if (stamp.weights, stamp.adaptation, stamp.preprocessing) in seen:
            raise UsageError(
                f"{stamp.name} is there twice: the same weights and preprocessing",
                where="--model",
                remedy="name each model once",
            )
        seen.add((stamp.weights, stamp.adaptation, stamp.preprocessing))
