"""`tier classify`: score chest X-rays for findings written as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer import Exit

from tier_cli.commands import options as o
from tier_cli.commands.inputs import counter, reading, sources_of, stream_options
from tier_cli.errors import UsageError
from tier_cli.results.output import OutputFile
from tier_cli.results.rows import Layout

if TYPE_CHECKING:
    from tier_cli.commands.sink import Sink
    from tier_cli.pipeline.scoring_job import ScoringJob


def classify(
    paths: o.Paths,
    model: o.Models = None,
    findings: o.Findings = None,
    engine: o.Engine = o.EngineName.AUTO,
    device: o.Device = o.DeviceName.AUTO,
    views: o.Views = o.ViewsName.FRONTAL,
    window: o.Window = 1,
    accept_any: o.AcceptAny = False,
    by: o.By = o.Unit.IMAGE,
    top: o.Top = None,
    output: o.Output = None,
    wide: o.Wide = False,
    fail_fast: o.FailFast = False,
    hash_ids: o.HashIds = False,
    include_phi: o.IncludePhi = False,
    batch_size: o.BatchSize = None,
    workers: o.Workers = None,
) -> None:
    """Score chest X-rays for findings written as text.

    A table a study on a terminal; in a pipe JSON lines, by result.schema.json.

    Exit codes: 0 all went well, or the reader closed the pipe; 2 wrong usage;
    3 a file could not be scored; 130 Ctrl-C, which keeps what was done.

    For research use; this is no medical device.
    """
    file = _check(output, wide, hash_ids and include_phi)
    sources = sources_of(paths)
    job = _job(model or ["tier-small"], findings, engine, device)
    options = stream_options(
        by, fail_fast, batch_size, workers, reading(views, window, accept_any, include_phi)
    )
    sink = _sink(job, _layout(job, by, wide, include_phi), file, top, hash_ids)
    sink.take(lambda tick: job.classify(sources, options, tick), counter(paths))
    if sink.failed:
        raise Exit(3)


def _check(output: str | None, wide: bool, contradictory: bool) -> OutputFile | None:
    """Refuse options that do not go together before anything heavy is loaded."""
    if contradictory:
        raise UsageError("--hash-ids and --include-phi contradict each other", remedy="leave one out")
    if output is not None:
        return OutputFile(output, wide)
    if wide:
        raise UsageError("a table needs a file to go to", where="--wide", remedy="add --output FILE.csv")
    return None


def _job(models: list[str], findings: str | None, engine: o.EngineName, device: o.DeviceName) -> ScoringJob:
    from tier_cli.model.ensemble import members

    # First alone: to refuse an unknown model nothing heavy has to be loaded.
    for model in models:
        members(model)
    from tier_cli.pipeline.scoring_job import open_job

    return open_job(models, findings, engine.value, device.value)


def _sink(job: ScoringJob, layout: Layout, file: OutputFile | None, top: int | None, hash_ids: bool) -> Sink:
    from tier_cli.commands.sink import Sink
    from tier_cli.results.privacy import Hasher

    return Sink(layout, job.findings, file, top, Hasher.from_environment() if hash_ids else None)


def _layout(job: ScoringJob, by: o.Unit, wide: bool, include_phi: bool) -> Layout:
    return Layout(job.findings.ids, by.value, wide, include_phi, bool(job.stamp.adaptation))
