"""`tier classify`: score chest X-rays for findings written as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer import Exit

from tier_cli.api.model import load
from tier_cli.commands import options
from tier_cli.commands.inputs import counter, sources_of
from tier_cli.errors import UsageError
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.results.output import OutputFile
from tier_cli.results.rows import Layout

if TYPE_CHECKING:
    from tier_cli.pipeline.scoring_job import ScoringJob


def classify(
    paths: options.Paths,
    model: options.Models = None,
    findings: options.Findings = None,
    engine: options.Engine = options.EngineName.AUTO,
    device: options.Device = options.DeviceName.AUTO,
    views: options.ReadViews = options.ReadViewsName.FRONTAL,
    window: options.Window = 1,
    accept_any: options.AcceptAny = False,
    by: options.By = options.Unit.IMAGE,
    top: options.Top = None,
    output: options.Output = None,
    wide: options.Wide = False,
    fail_fast: options.FailFast = False,
    hash_ids: options.HashIds = False,
    include_phi: options.IncludePhi = False,
    batch_size: options.BatchSize = None,
    workers: options.Workers = None,
) -> None:
    """Score chest X-rays for findings written as text.

    Print one table per study on a terminal, and JSON lines in a pipe
    (see result.schema.json).

    Exit codes: 0 success, or the reader closed the pipe; 2 wrong usage;
    3 some files could not be scored; 130 Ctrl-C, finished results are kept.

    For research use; not a medical device.
    """
    file = _check(output, wide, hash_ids and include_phi)
    sources = sources_of(paths)
    job = load(model or DEFAULT_MODEL, findings=findings, engine=engine.value, device=device.value).job()
    from tier_cli.commands.result_run import ScoreRun, hasher
    from tier_cli.pipeline.stream import stream_options

    stream = stream_options(
        views=views.value,
        window=window,
        accept_any=accept_any,
        include_phi=include_phi,
        by=by.value,
        batch_size=batch_size,
        workers=workers,
        fail_fast=fail_fast,
    )
    layout = _layout(job, by, wide, include_phi)
    run = ScoreRun(job, layout, file, top, hasher(hash_ids))
    run.write_all(lambda tick: job.classify(sources, stream, tick), counter(paths))
    if run.failed:
        raise Exit(3)


def _check(output: str | None, wide: bool, contradictory: bool) -> OutputFile | None:
    """Refuse options that contradict each other before anything heavy is loaded."""
    if contradictory:
        raise UsageError("--hash-ids and --include-phi contradict each other", remedy="give only one")
    if output is not None:
        return OutputFile(output, wide)
    if wide:
        raise UsageError("a wide table needs an output file", where="--wide", remedy="add --output FILE.csv")
    return None


def _layout(job: ScoringJob, by: options.Unit, wide: bool, include_phi: bool) -> Layout:
    return Layout(job.findings.ids, by.value, wide, include_phi, bool(job.stamp.adaptation))
