"""`tier classify`: score chest X-rays for findings written as text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from itertools import chain
from typing import TYPE_CHECKING

from typer import Exit

from tier_cli.commands import options as o
from tier_cli.errors import UsageError
from tier_cli.results.output import OutputFile
from tier_cli.results.rows import Layout

if TYPE_CHECKING:
    from tier_cli.commands.sink import Sink
    from tier_cli.imaging.discover import Source
    from tier_cli.imaging.radiograph import ReadOptions
    from tier_cli.pipeline.job import Job
    from tier_cli.pipeline.stream import StreamOptions


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
    sources = _sources(paths)
    job = _job(model or ["tier-small"], findings, engine, device)
    options = _options(by, fail_fast, batch_size, workers, _reading(views, window, accept_any, include_phi))
    sink = _sink(job, _layout(job, by, wide, include_phi), file, top, hash_ids)
    sink.take(lambda tick: job.classify(sources, options, tick), _counter(paths))
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


def _job(models: list[str], findings: str | None, engine: o.EngineName, device: o.DeviceName) -> Job:
    from tier_cli.model.ensemble import members

    # First alone: to refuse an unknown model nothing heavy has to be loaded.
    for model in models:
        members(model)
    from tier_cli.pipeline.job import open_job

    return open_job(models, findings, engine.value, device.value)


def _reading(views: o.ViewsName, window: int, accept_any: bool, include_phi: bool) -> ReadOptions:
    from tier_cli.imaging.radiograph import ReadOptions

    # People count windows from 1, as DCMTK does.
    return ReadOptions(window=window - 1, views=views.value, accept_any=accept_any, include_phi=include_phi)


def _options(
    by: o.Unit, fail_fast: bool, batch_size: int | None, workers: int | None, read: ReadOptions
) -> StreamOptions:
    from tier_cli.pipeline.stream import StreamOptions

    return StreamOptions(read, batch_size, workers, by.value, fail_fast)


def _sink(job: Job, layout: Layout, file: OutputFile | None, top: int | None, hash_ids: bool) -> Sink:
    from tier_cli.commands.sink import Sink
    from tier_cli.results.privacy import Hasher

    return Sink(layout, job.findings, file, top, Hasher.from_environment() if hash_ids else None)


def _layout(job: Job, by: o.Unit, wide: bool, include_phi: bool) -> Layout:
    return Layout(job.findings.ids, by.value, wide, include_phi, bool(job.stamp.adaptation))


def _counter(paths: list[str]) -> Callable[[], int] | None:
    """Give a function that counts the files, unless they stand in a list that can be read only once."""
    from tier_cli.imaging.discover import discover

    return None if "-" in paths else lambda: sum(1 for _ in discover(paths))


def _sources(paths: list[str]) -> Iterator[Source]:
    """Find the files, or refuse before a model is loaded for none."""
    from tier_cli.imaging.discover import discover

    if "-" in paths and isinstance(sys.stdin, TextIOWrapper):
        # File names on Unix need not be UTF-8.
        sys.stdin.reconfigure(errors="surrogateescape")
    sources = discover(paths, sys.stdin)
    first = next(sources, None)
    if first is None and paths == ["-"]:
        raise UsageError("the list on stdin is empty", where="-", remedy="give one path a line")
    if first is None:
        raise UsageError(
            "no images were found",
            where=", ".join(paths[:3]) + (", ..." if len(paths) > 3 else ""),
            remedy="looked for DICOM, PNG, JPEG and TIFF files, told by content, also in folders below",
        )
    return chain((first,), sources)
