"""Say what `tier classify` would do, for `--dry-run`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from typer import Exit, echo

from tier_cli.commands.inputs import skipped_text
from tier_cli.console import printable
from tier_cli.errors import counted, kind_label

if TYPE_CHECKING:
    from tier_cli.imaging.discover import PassedOver, Source
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions

# How many files are scored, without keeping the results, to estimate the time.
_SAMPLE = 4


def preview(
    sources: Iterable[Source],
    passed_over: PassedOver,
    job: ScoringJob,
    stream: StreamOptions,
    output: str | None,
) -> None:
    """Print the files, the model and a rough time, and write no results.

    Raises
    ------
    Exit
        With 3, if a named file cannot be read.
    """
    from tier_cli.imaging.discover import PAUSE

    usable: list[Source] = []
    count = 0
    unusable: Counter[str] = Counter()
    for source in sources:
        if source.error is not None:
            unusable[kind_label(source.error.kind)] += 1
        elif source is not PAUSE:
            count += 1
            usable = [*usable, source][:_SAMPLE]
    echo(f"Files to read: {count}")
    if unusable:
        echo(f"Cannot be read: {counted(unusable)}")
    if text := skipped_text(passed_over):
        echo(text)
    for member in job.members:
        echo(f"Model: {printable(member.checkpoint.name)} ({member.engine.name} on {member.engine.device})")
    echo(f"Findings: {len(job.findings.ids)} ({printable(job.findings.name)})")
    for note in job.findings.notes:
        echo(printable(f"Note: {note}"))
    echo(f"Results: {'stdout' if output is None else printable(output)}")
    if usable:
        files = "1 file" if len(usable) == 1 else f"{len(usable)} files"
        echo(f"Time: about {_in_words(_seconds(usable, job, stream) * count)}, judged by {files}")
    if unusable:
        raise Exit(3)


def _seconds(sources: list[Source], job: ScoringJob, stream: StreamOptions) -> float:
    """Return the seconds per file of a few files, decoded one after the other in this process."""
    from dataclasses import replace

    alone = replace(stream, workers=0, fail_fast=False)
    # The first batch also warms up the engine.
    list(job.classify(sources[:1], alone))
    begin = time.perf_counter()
    list(job.classify(sources, alone))
    return (time.perf_counter() - begin) / len(sources)


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
