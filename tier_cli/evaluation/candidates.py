"""Open what is to be evaluated: models, and files or tables of scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, Union

from tier_cli.errors import UsageError
from tier_cli.progress import Progress, no_progress

if TYPE_CHECKING:
    import pandas as pd

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.scores import Scores
    from tier_cli.findings.load import FindingSpec
    from tier_cli.findings.schema import FindingSet
    from tier_cli.pipeline.runners.work import Runner
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions

_SUFFIXES = (".csv", ".tsv", ".parquet", ".csv.gz")

# A model (name, folder, or opened), several models whose scores are averaged, or scores: a file, a data frame
# or a mapping of columns.
Evaluable: TypeAlias = Union[
    str, Path, Sequence[str], "ScoringJob", "pd.DataFrame", Mapping[str, Sequence[Any]]
]

# Scores a manifest's images with a model, as `score` does.
ImageScorer: TypeAlias = Callable[["ScoringJob", "Manifest", "StreamOptions", Progress], "Scores"]


@dataclass(frozen=True)
class Candidate:
    """A model, or a file or table of scores, that is to be evaluated.

    Parameters
    ----------
    name
        How the report calls it.
    job
        The opened model; None for scores.
    table
        The scores; None for a model.
    """

    name: str
    job: ScoringJob | None = None
    table: Path | pd.DataFrame | None = None

    @property
    def stamp(self) -> dict[str, Any] | None:
        """The model as results name it; None for scores."""
        return None if self.job is None else self.job.stamp.to_dict()

    def scores(
        self,
        manifest: Manifest,
        findings: FindingSet,
        options: StreamOptions,
        join: str | None,
        progress: Progress = no_progress,
        score_images: ImageScorer | None = None,
    ) -> Scores:
        """Score a manifest's images, or match the scores to them.

        Parameters
        ----------
        manifest, findings
            Images and findings.
        options
            For a model: how images are read.
        join
            For scores: the column to join on.
        progress
            For a model: where progress is reported.
        score_images
            For a model: what scores the images; None for `score`.
        """
        if self.job is not None:
            scored = (score_images or score)(self.job, manifest, options, progress)
            return replace(scored, name=self.name)
        from tier_cli.evaluation.scores import match_scores, read_scores

        if self.table is None or isinstance(self.table, Path):
            return replace(read_scores(str(self.table), manifest, findings, join), name=self.name)
        return match_scores(self.name, self.table, manifest, findings, join)


def open_candidates(
    evaluables: Sequence[Evaluable],
    findings: FindingSpec | FindingSet | None,
    engine: str,
    device: str,
    runner: Runner | None = None,
) -> tuple[tuple[Candidate, ...], FindingSet]:
    """Open one or several models or tables of scores; return them with the finding set.

    Parameters
    ----------
    evaluables
        At least one.
    findings
        The finding set, or its name or file; None for that of the first model.
    engine, device, runner
        See `open_job`.

    Raises
    ------
    UsageError
        Scores alone without a finding set.
    """
    if findings is None and not any(_is_model(one) for one in evaluables):
        raise UsageError(
            "scores without a model need a finding set",
            where="--findings",
            remedy="name the set, e.g. --findings nih14, or add --model",
        )
    found = [_open(one, findings, engine, device, runner) for one in evaluables]
    if len({one.name for one in found}) < len(found):
        found = [
            replace(candidate, name=_long_name(one, f"{candidate.name} {number}"))
            for number, (one, candidate) in enumerate(zip(evaluables, found, strict=True), 1)
        ]
    job = next((one.job for one in found if one.job is not None), None)
    if job is not None:
        return tuple(found), job.findings
    from tier_cli.pipeline.scoring_job import choose_findings

    return tuple(found), choose_findings(findings)


def is_table(text: str) -> bool:
    """Return whether a text names a file of scores rather than a model, judged by its suffix."""
    return text.lower().endswith(_SUFFIXES)


def _is_model(one: Evaluable) -> bool:
    if isinstance(one, str):
        return not is_table(one)
    if isinstance(one, Path):
        return not is_table(str(one))
    if _is_names(one):
        return True
    from tier_cli.pipeline.scoring_job import ScoringJob

    return isinstance(one, ScoringJob)


def _is_names(one: Evaluable) -> TypeGuard[Sequence[str]]:
    return isinstance(one, Sequence) and not isinstance(one, str)


def _open(
    one: Evaluable,
    findings: FindingSpec | FindingSet | None,
    engine: str,
    device: str,
    runner: Runner | None,
) -> Candidate:
    if not _is_model(one):
        return _open_scores(one)
    from tier_cli.pipeline.scoring_job import ScoringJob, open_job

    if isinstance(one, ScoringJob):
        return Candidate(one.stamp.name, one)
    names = [str(one)] if isinstance(one, str | Path) else [str(name) for name in one]
    job = open_job(names, findings, engine, device, runner)
    return Candidate(job.stamp.name, job)


def _open_scores(one: Any) -> Candidate:
    if isinstance(one, str | Path):
        from tier_cli.evaluation.scores import require_parquet

        # Before models are scored, which may take hours.
        require_parquet(Path(one))
        return Candidate(Path(one).name, table=Path(one))
    import pandas as pd

    return Candidate("scores", table=one if isinstance(one, pd.DataFrame) else pd.DataFrame(dict(one)))


def _long_name(one: Evaluable, otherwise: str) -> str:
    """Return a candidate's name as the caller gave it, to distinguish two with the same short name."""
    if isinstance(one, str | Path):
        return str(one)
    return ", ".join(map(str, one)) if _is_names(one) else otherwise


def score(
    job: ScoringJob, manifest: Manifest, options: StreamOptions, progress: Progress = no_progress
) -> Scores:
    """Score a manifest's images with the pipeline of `tier classify`.

    Parameters
    ----------
    job, manifest
        The model and the images.
    options
        How images are read and streamed.
    progress
        Where progress is reported.
    """
    from tier_cli.evaluation.scores import collect
    from tier_cli.imaging.discover import Source

    with progress(len(manifest), "Scoring") as tick:
        results = job.classify((Source(path) for path in manifest.paths), options, tick)
        return collect(job.stamp.name, results, job.findings)
