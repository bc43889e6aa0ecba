"""Open the checkpoints, engines and finding vectors that a run scores with."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tier_cli.errors import UsageError
from tier_cli.findings.check import problems, raise_first
from tier_cli.findings.load import FindingSpec, load_findings
from tier_cli.findings.schema import FindingSet
from tier_cli.model.checkpoint import Checkpoint, open_checkpoint
from tier_cli.model.engine import Engine
from tier_cli.model.ensemble import members
from tier_cli.model.finding_vectors import finding_vectors
from tier_cli.pipeline.image_scorer import ImageScorer, run_notes
from tier_cli.pipeline.runners.local import LocalRunner
from tier_cli.pipeline.scorer import Scorer, run_stamp
from tier_cli.pipeline.stream import MapSink, StreamOptions, batch_size_of, classify, image_results
from tier_cli.scoring.adaptation import AdaptationKey, read_adaptation
from tier_cli.scoring.score import check_scoring

if TYPE_CHECKING:
    from tier_cli.findings.vectors import FindingVectors
    from tier_cli.imaging.discover import Source
    from tier_cli.model.engine import Engine
    from tier_cli.pipeline.runners.work import Runner
    from tier_cli.results.record import ModelStamp, Result, Unit


@dataclass(frozen=True)
class ScoringJob:
    """One model, or an ensemble whose scores are averaged, with its finding set.

    Parameters
    ----------
    members
        The models, each with the vectors of `findings`.
    findings
        The finding set.
    """

    members: tuple[Scorer, ...]
    findings: FindingSet

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint; the first of an ensemble."""
        return self.members[0].checkpoint

    @property
    def engine(self) -> Engine:
        """The engine; the first of an ensemble."""
        return self.members[0].engine

    @property
    def vectors(self) -> FindingVectors:
        """The finding set in the embedding space of `checkpoint`, (F, D) each."""
        return self.members[0].vectors

    @property
    def scoring(self) -> str:
        """The name of the rule that the scores come from."""
        return self.members[0].scoring

    @property
    def stamp(self) -> ModelStamp:
        """The identity of the model or ensemble in results."""
        return run_stamp(self.members, self.findings)

    def run_notes(self, unit: Unit) -> tuple[str, ...]:
        """Return the notes that every result of a run has."""
        return run_notes(self.members, self.findings, unit)

    def with_findings(self, findings: FindingSet) -> ScoringJob:
        """Return a job with the same opened models and another finding set."""
        return _make_job([(member.checkpoint, member.engine) for member in self.members], findings)

    def classify(
        self,
        sources: Iterable[Source],
        options: StreamOptions,
        tick: Callable[[], object] = lambda: None,
        maps: MapSink | None = None,
    ) -> Generator[Result, None, None]:
        """Score sources: see `tier_cli.pipeline.stream.classify`."""
        return classify(sources, self.members, self.findings, options, tick, maps)

    def scorer(self, options: StreamOptions) -> ImageScorer:
        """Return what scores prepared images."""
        return ImageScorer(self.members, self.findings, options.by, options.input_check)

    def image_results(
        self,
        sources: Iterable[Source],
        scorer: ImageScorer,
        options: StreamOptions,
        tick: Callable[[], object] = lambda: None,
        maps: MapSink | None = None,
    ) -> Generator[Result, None, None]:
        """Score sources one by one, with what `scorer` gave: see `tier_cli.pipeline.stream.image_results`."""
        return image_results(sources, scorer, options, batch_size_of(options, self.engine), tick, maps)


def open_job(
    model: str | Sequence[str],
    findings: FindingSpec | FindingSet | None = None,
    engine: str = "auto",
    device: str = "auto",
    runner: Runner | None = None,
) -> ScoringJob:
    """Open one or several checkpoints with the vectors of a finding set, by default their own.

    Parameters
    ----------
    model
        One checkpoint, or a list, in which an ensemble stands for its members.
    findings, engine, device
        See `choose_findings` and `open_engine`.
    runner
        What the job will run on; None for this machine.

    Raises
    ------
    TierError
        If a checkpoint, the finding set, the engine or the device cannot be used, or if the scores of the
        checkpoints cannot be averaged.
    """
    # A caller that needs a single checkpoint passes a string, and an ensemble is refused.
    names = [model] if isinstance(model, str) else [path for name in model for path in members(name)]
    checkpoints = [open_checkpoint(name) for name in names]
    for checkpoint in checkpoints:
        check_scoring(checkpoint.scoring)
    chosen = choose_findings(findings, checkpoints[0].findings)
    if findings is None:
        _check_same_findings(checkpoints)
    opener = LocalRunner() if runner is None else runner
    return _make_job(
        ((checkpoint, opener.open_engine(checkpoint, engine, device)) for checkpoint in checkpoints), chosen
    )


def choose_findings(
    findings: FindingSpec | FindingSet | None, default: FindingSet | None = None
) -> FindingSet:
    """Return the finding set that is named (see `load_findings`) or given; a given set is checked."""
    if not isinstance(findings, FindingSet):
        return load_findings(findings, default)
    raise_first(problems(findings), findings.name)
    return findings


def _make_job(models: Iterable[tuple[Checkpoint, Engine]], findings: FindingSet) -> ScoringJob:
    members = tuple(_scorer(checkpoint, engine, findings) for checkpoint, engine in models)
    _check_averageable(members, findings)
    return ScoringJob(members, findings)


def _scorer(checkpoint: Checkpoint, engine: Engine, findings: FindingSet) -> Scorer:
    vectors = finding_vectors(checkpoint, findings, lambda: engine)
    adaptation, note = read_adaptation(checkpoint.path, adaptation_key(checkpoint, findings))
    if adaptation is not None and adaptation.weights.shape != vectors.positive.shape:
        raise UsageError(
            f"the adaptation has shape {adaptation.weights.shape}, the findings {vectors.positive.shape}",
            where=str(checkpoint.path),
            remedy="adapt the checkpoint again with `tier adapt`",
        )
    return Scorer(checkpoint, engine, vectors, adaptation, note)


def adaptation_key(checkpoint: Checkpoint, findings: FindingSet) -> AdaptationKey:
    """Return the key that an adaptation of a checkpoint for a finding set must have."""
    return AdaptationKey(
        checkpoint.hashes["weights"], findings.hash, checkpoint.preprocessing.rendering, checkpoint.scoring
    )


def _check_same_findings(checkpoints: Sequence[Checkpoint]) -> None:
    first = checkpoints[0]
    for other in checkpoints[1:]:
        if other.findings.hash != first.findings.hash:
            raise UsageError(
                f"{first.name} and {other.name} have different default finding sets",
                where="--model",
                remedy="choose one set for all models with --findings",
            )


def _check_averageable(members: Sequence[Scorer], findings: FindingSet) -> None:
    """Refuse to average scores of different rules, or to count a model twice."""
    first, seen = members[0], set()
    for member in members:
        stamp = member.stamp(findings)
        if member.scoring != first.scoring:
            raise UsageError(
                f"{first.checkpoint.name} scores by {first.scoring}, {stamp.name} by {member.scoring}",
                where="--model",
                remedy="average only models with the same scoring rule",
            )
        if (stamp.weights, stamp.adaptation, stamp.preprocessing) in seen:
            raise UsageError(
                f"{stamp.name} appears twice: the same weights and preprocessing",
                where="--model",
                remedy="name each model once",
            )
        seen.add((stamp.weights, stamp.adaptation, stamp.preprocessing))
