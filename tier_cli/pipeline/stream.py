"""Stream files through decoding and scoring, in the order of the sources and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from tier_cli.imaging.budget import DEFAULT_MEMORY, DEFAULT_TIMEOUT
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.pipeline.image_scorer import ImageScorer
from tier_cli.pipeline.runners.local import LocalRunner
from tier_cli.pipeline.runners.work import Runner, Work

if TYPE_CHECKING:
    from tier_cli.decoding.decode import Decoded
    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.budget import Decode
    from tier_cli.imaging.discover import Source
    from tier_cli.imaging.radiograph import Views
    from tier_cli.model.engine import Engine
    from tier_cli.pipeline.input_checks import CheckMode
    from tier_cli.pipeline.scorer import Scorer
    from tier_cli.results.record import FileResult, Result, Unit

_J = TypeVar("_J", bound="FileResult")

_MAX_WORKERS = 8


class MapSink(Protocol):
    """Scores images and writes their maps in the same pass."""

    @property
    def side(self) -> int:
        """The longer side of the pictures that it needs, in pixels."""
        ...

    def score(self, scorer: ImageScorer, images: Sequence[tuple[str, Decoded]], size: int) -> list[Result]:
        """Score a batch as `ImageScorer.score` does."""
        ...


@dataclass(frozen=True)
class StreamOptions:
    """Settings of a run.

    Parameters
    ----------
    read
        How files are read; the checkpoint's rendering replaces the one given here.
    batch_size
        Images per batch; None for 8 on CPU and 32 on other devices.
    workers
        Decoding processes; 0 decodes in this process, None starts one per CPU, at most 8.
    by
        One result per ``image`` or per ``study``.
    fail_fast
        Stop at the first file that cannot be used.
    input_check
        What to do with an image that the checkpoint's input check finds suspicious.
    runner
        Distributes the work.
    """

    read: ReadOptions = field(default_factory=ReadOptions)
    batch_size: int | None = None
    workers: int | None = None
    by: Unit = "image"
    fail_fast: bool = False
    input_check: CheckMode = "off"
    runner: Runner = field(default_factory=LocalRunner)


def stream_options(
    *,
    views: Views = "frontal",
    window: int = 1,
    accept_any: bool = False,
    decode: Decode = "fast",
    include_phi: bool = False,
    by: Unit = "image",
    batch_size: int | None = None,
    workers: int | None = None,
    fail_fast: bool = False,
    input_check: CheckMode = "off",
    timeout_per_file: float = DEFAULT_TIMEOUT,
    memory_per_file: int = DEFAULT_MEMORY,
    runner: Runner | None = None,
) -> StreamOptions:
    """Build the settings of a run from the options that commands and the Python API share.

    Parameters
    ----------
    views
        See `ReadOptions`.
    window
        Which of several windows to apply, counted from 1 as in DCMTK.
    accept_any, decode, include_phi
        See `ReadOptions`.
    by, batch_size, workers, fail_fast, input_check
        See `StreamOptions`.
    timeout_per_file, memory_per_file
        Seconds and bytes that reading one file may take.
    runner
        Distributes the work; None for this machine.
    """
    read = ReadOptions(
        window=window - 1,
        views=views,
        accept_any=accept_any,
        include_phi=include_phi,
        decode=decode,
        timeout=timeout_per_file,
        memory=memory_per_file,
    )
    return StreamOptions(
        read, batch_size, workers, by, fail_fast, input_check, LocalRunner() if runner is None else runner
    )


def classify(
    sources: Iterable[Source],
    members: Sequence[Scorer],
    findings: FindingSet,
    options: StreamOptions = StreamOptions(),
    tick: Callable[[], object] = lambda: None,
    maps: MapSink | None = None,
) -> Generator[Result, None, None]:
    """Score files; a file that cannot be scored gives a result with the reason.

    Parameters
    ----------
    sources
        Read a bounded number of files ahead of the model.
    members
        The model, or the models whose scores are averaged.
    findings
        The finding set of the members' vectors.
    options
        Settings of the run.
    tick
        Called once per source when it is processed; by study, long before the study's result.
    maps
        Writes maps of the images; None for no maps.

    Yields
    ------
    By image, one result per source, in the order of the sources; by study, see `Finish.results`.
    """
    scorer = ImageScorer(members, findings, options.by, options.input_check)
    images = image_results(sources, scorer, options, batch_size_of(options, members[0].engine), tick, maps)
    with closing(images):
        yield from scorer.finish.results(images, fail_fast=options.fail_fast)


def image_results(
    sources: Iterable[Source],
    scorer: ImageScorer,
    options: StreamOptions,
    batch_size: int,
    tick: Callable[[], object] = lambda: None,
    maps: MapSink | None = None,
) -> Generator[Result, None, None]:
    """Score files one by one, also by study: parameters as in `classify`.

    Yields
    ------
    One result per source, in the order of the sources, to which `Finish` adds probabilities and calls.
    """
    settings, compute = scorer.settings(options.read), partial(scorer.score, size=batch_size)
    if maps is not None:
        settings, compute = replace(settings, picture=maps.side), partial(maps.score, scorer, size=batch_size)
    yield from stream_results(sources, Work(settings, batch_size, compute, scorer.failed), options, tick)


def batch_size_of(options: StreamOptions, engine: Engine) -> int:
    """Return the number of images per batch."""
    return options.batch_size or (8 if engine.device == "cpu" else 32)


def workers_of(options: StreamOptions) -> int:
    """Return the number of decoding processes."""
    from tier_cli.model.engine import usable_cpus

    return min(usable_cpus(), _MAX_WORKERS) if options.workers is None else options.workers


def stream_results(
    sources: Iterable[Source],
    work: Work[_J],
    options: StreamOptions,
    tick: Callable[[], object],
) -> Generator[_J, None, None]:
    """Yield one result per source, in order, until the first with an error if `options` say so.

    Parameters
    ----------
    sources, work, options
        The files, what happens to each, and the settings of the run.
    tick
        Called once per file, when its result is ready.
    """
    with closing(options.runner.run(sources, work, workers_of(options))) as results:
        for result in results:
            tick()
            yield result
            if options.fail_fast and result.error is not None:
                return
