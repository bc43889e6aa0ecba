"""What `tier eval` measures: models that score, and files of scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.scores import Scores
    from tier_cli.findings.schema import FindingSet
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions

_DEFAULT_MODEL = "tier-small"
_TABLES = (".csv", ".tsv", ".parquet", ".csv.gz")


@dataclass(frozen=True)
class Candidate:
    """One of what is measured: a model, or a file of scores."""

    name: str
    job: ScoringJob | None = None
    file: Path | None = None

    @property
    def stamp(self) -> dict[str, Any] | None:
        """The model as results name it; None for a file."""
        return None if self.job is None else self.job.stamp.to_dict()

    def scores(
        self, manifest: Manifest, findings: FindingSet, options: StreamOptions, join: str | None
    ) -> Scores:
        """Give the scores of a manifest's images."""
        if self.job is not None:
            return replace(score(self.job, manifest, options), name=self.name)
        from tier_cli.evaluation.scores import read_scores

        return replace(read_scores(str(self.file), manifest, findings, join), name=self.name)


def candidates(
    model: Sequence[str] | None,
    scores: Sequence[Path] | None,
    compare: tuple[str, str] | None,
    findings: str | None,
    engine: str,
    device: str,
) -> tuple[tuple[Candidate, ...], FindingSet]:
    """Open what is to be measured, one thing or several; and give the finding set.

    Raises
    ------
    UsageError
        Files alone without a finding set.
    """
    if compare is not None:
        named: list[Path | list[str]] = [Path(text) if is_table(text) else [text] for text in compare]
    else:
        named = [list(model or [_DEFAULT_MODEL])] if model or not scores else []
        named += scores or []
    if findings is None and all(isinstance(one, Path) for one in named):
        raise UsageError(
            "scores from a file need a finding set",
            where="--scores" if compare is None else "--compare",
            remedy="name it with --findings, e.g. nih14, or add --model",
        )
    found = [_opened(one, findings, engine, device) for one in named]
    jobs = [one.job for one in found if one.job is not None]
    if len({one.name for one in found}) < len(found):
        own = ["model"] if isinstance(named[0], list) else []
        texts = compare or [*own, *map(str, scores or [])]
        found = [replace(one, name=text) for one, text in zip(found, texts, strict=True)]
    if jobs:
        return tuple(found), jobs[0].findings
    from tier_cli.findings.load import load_findings

    return tuple(found), load_findings(findings)


def is_table(text: str) -> bool:
    """Tell whether a text names a file of scores rather than a model."""
    return text.lower().endswith(_TABLES)


def _opened(one: Path | list[str], findings: str | None, engine: str, device: str) -> Candidate:
    if isinstance(one, Path):
        return Candidate(one.name, file=one)
    from tier_cli.pipeline.scoring_job import open_job

    job = open_job(one, findings, engine, device)
    return Candidate(job.stamp.name, job)


def score(job: ScoringJob, manifest: Manifest, options: StreamOptions) -> Scores:
    """Run the pipeline of `tier classify` over the manifest's images."""
    from tier_cli.display.progress import progress_on_stderr
    from tier_cli.evaluation.scores import collect
    from tier_cli.imaging.discover import Source

    with progress_on_stderr(len(manifest), "Scoring") as tick:
        results = job.classify((Source(path) for path in manifest.paths), options, tick)
        return collect(job.stamp.name, results, job.findings)
