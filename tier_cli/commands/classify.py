"""`tier classify`: score chest X-rays for findings written as text."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import TextIOWrapper
from itertools import chain
from typing import TYPE_CHECKING

from typer import Exit

from tier_cli.commands import options as o
from tier_cli.errors import UsageError
from tier_cli.results.output import OutputFile

if TYPE_CHECKING:
    from tier_cli.imaging.discover import Source


def classify(
    paths: o.Paths,
    model: o.Model = "tier-small",
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
    if hash_ids and include_phi:
        raise UsageError("--hash-ids and --include-phi contradict each other", remedy="leave one out")
    from tier_cli.model.checkpoint import resolve

    # What can be wrong with the call comes first: nothing heavy is loaded to refuse it.
    file = _output_file(output, wide)
    sources = _sources(paths)
    resolve(model)
    from tier_cli.commands.sink import Sink
    from tier_cli.imaging.discover import discover
    from tier_cli.imaging.radiograph import ReadOptions
    from tier_cli.pipeline.job import open_job
    from tier_cli.pipeline.stream import StreamOptions
    from tier_cli.results.privacy import Hasher
    from tier_cli.results.rows import Layout

    job = open_job(model, findings, engine.value, device.value)
    read = ReadOptions(window=window - 1, views=views.value, accept_any=accept_any, include_phi=include_phi)
    options = StreamOptions(read, batch_size, workers, by.value, fail_fast)
    layout = Layout(job.findings.ids, by.value, wide, include_phi)
    sink = Sink(layout, job.findings, file, top, Hasher.from_environment() if hash_ids else None)
    count = None if "-" in paths else lambda: sum(1 for _ in discover(paths))
    sink.take(lambda tick: job.classify(sources, options, tick), count)
    if sink.failed:
        raise Exit(3)


def _output_file(output: str | None, wide: bool) -> OutputFile | None:
    if output is not None:
        return OutputFile(output, wide)
    if wide:
        raise UsageError("a table needs a file to go to", where="--wide", remedy="add --output FILE.csv")
    return None


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
