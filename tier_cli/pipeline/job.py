"""What a run scores with: an opened checkpoint, its engine, and the vectors of a finding set."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tier_cli.findings.load import load_findings
from tier_cli.model.checkpoint import Checkpoint, open_checkpoint
from tier_cli.model.engine import Engine, open_engine
from tier_cli.model.finding_vectors import finding_vectors
from tier_cli.pipeline.stream import StreamOptions, classify
from tier_cli.scoring.score import check_scoring

if TYPE_CHECKING:
    from tier_cli.findings.schema import FindingSet
    from tier_cli.findings.vectors import FindingVectors
    from tier_cli.imaging.discover import Source
    from tier_cli.results.record import Result


@dataclass(frozen=True)
class Job:
    """A model with what it looks for."""

    checkpoint: Checkpoint
    findings: FindingSet
    engine: Engine
    vectors: FindingVectors

    def classify(
        self, sources: Iterable[Source], options: StreamOptions, tick: Callable[[], object] = lambda: None
    ) -> Generator[Result, None, None]:
        """Score sources: see `tier_cli.pipeline.stream.classify`."""
        return classify(sources, self.checkpoint, self.engine, self.vectors, self.findings, options, tick)


def open_job(model: str, findings: str | None = None, engine: str = "auto", device: str = "auto") -> Job:
    """Open a checkpoint and get the vectors of a finding set, its own by default.

    Raises
    ------
    TierError
        Where the checkpoint, the finding set, the engine or the device cannot be used.
    """
    checkpoint = open_checkpoint(model)
    check_scoring(checkpoint.scoring)
    chosen = load_findings(findings, checkpoint.findings)
    opened = open_engine(checkpoint, engine, device)
    return Job(checkpoint, chosen, opened, finding_vectors(checkpoint, chosen, lambda: opened))
