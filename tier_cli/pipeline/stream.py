"""The streaming run: sources in, results out, in the order of the sources and without holding the folder."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from tier_cli.decoding.prefetch import Outcome, decoded
from tier_cli.errors import InputError
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.pipeline.image_scorer import ImageScorer
from tier_cli.scoring.studies import StudyMeans

if TYPE_CHECKING:
    from tier_cli.decoding.decode import Decoded
    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.discover import Source
    from tier_cli.model.engine import Engine
    from tier_cli.pipeline.scorer import Scorer
    from tier_cli.results.record import Judged, Result, Unit

_T = TypeVar("_T")
_J = TypeVar("_J", bound="Judged")

_MAX_WORKERS = 8
# Errors that may wait behind one image for its batch to fill, in batches.
_MAX_WAIT = 4
_CUT_SHORT = "the run was cut short: images of this study may be missing"


@dataclass(frozen=True)
class StreamOptions:
    """How a run goes.

    Parameters
    ----------
    read
        How files are read; its rendering is replaced by the checkpoint's.
    batch_size
        Images the model takes at a time; None for 8 on CPU and 32 elsewhere.
    workers
        Decoding processes; 0 decodes in this process, None takes as many as there are CPUs, at most 8.
    by
        One result an ``image`` or a ``study``.
    fail_fast
        End with the first file that cannot be used.
    """

    read: ReadOptions = field(default_factory=ReadOptions)
    batch_size: int | None = None
    workers: int | None = None
    by: Unit = "image"
    fail_fast: bool = False


def classify(
    sources: Iterable[Source],
    members: Sequence[Scorer],
    findings: FindingSet,
    options: StreamOptions = StreamOptions(),
    tick: Callable[[], object] = lambda: None,
) -> Generator[Result, None, None]:
    """Score images, or say of each why it cannot be scored.

    Parameters
    ----------
    sources
        Taken a bounded number of files ahead of the model.
    members
        The model, or several whose scores are averaged.
    findings
        The finding set that the members' vectors are of.
    options
        How the run goes.
    tick
        Called once a source, when it is done with: by study that is long before its result comes.

    Yields
    ------
    By image, one result a source, in the order of the sources. By study, errors as they come, one a file,
    then one result a study in the order in which the studies were first seen; KeyboardInterrupt, also one
    thrown in, is raised again only after the studies known so far.
    """
    scorer = ImageScorer(members, findings, options.by)
    batch_size = batch_size_of(options, members[0].engine)
    with closing(
        decoded(sources, scorer.settings(options.read), workers_of(options), batch_size)
    ) as outcomes:
        results = computed(outcomes, batch_size, scorer.score, scorer.failed, options.fail_fast, tick)
        if options.by == "image":
            yield from map(scorer.finished, results)
        else:
            yield from _by_study(results, scorer, options.fail_fast)


def batch_size_of(options: StreamOptions, engine: Engine) -> int:
    """How many images the model takes at a time."""
    return options.batch_size or (8 if engine.device == "cpu" else 32)


def workers_of(options: StreamOptions) -> int:
    """How many processes decode."""
    from tier_cli.model.engine import usable_cpus

    return min(usable_cpus(), _MAX_WORKERS) if options.workers is None else options.workers


def computed(
    outcomes: Iterable[Outcome],
    batch_size: int,
    compute: Callable[[list[tuple[str, Decoded]]], list[_J]],
    failed: Callable[[str, InputError], _J],
    fail_fast: bool,
    tick: Callable[[], object],
) -> Iterator[_J]:
    """Give one result a decoded file, in order.

    Parameters
    ----------
    outcomes
        What decoding gave.
    batch_size, compute
        Images that are computed at a time: batches depend on the files alone, so that a second run gives the
        same numbers.
    failed
        Gives the result of a file that could not be decoded.
    fail_fast
        End with the first result that has an error.
    tick
        Called once a file, when its result is there.
    """
    for result in _in_batches(outcomes, batch_size, compute, failed):
        tick()
        yield result
        if fail_fast and result.error is not None:
            return


def _in_batches(
    outcomes: Iterable[Outcome],
    batch_size: int,
    compute: Callable[[list[tuple[str, Decoded]]], list[_T]],
    failed: Callable[[str, InputError], _T],
) -> Iterator[_T]:
    waiting: list[Outcome] = []
    images = 0
    for path, outcome in outcomes:
        waiting.append((path, outcome))
        images += not isinstance(outcome, InputError)
        if images in (0, batch_size) or len(waiting) >= _MAX_WAIT * batch_size:
            yield from _flush(waiting, compute, failed)
            waiting, images = [], 0
    yield from _flush(waiting, compute, failed)


def _flush(
    waiting: list[Outcome],
    compute: Callable[[list[tuple[str, Decoded]]], list[_T]],
    failed: Callable[[str, InputError], _T],
) -> Iterator[_T]:
    images: list[tuple[str, Decoded]] = [(p, o) for p, o in waiting if not isinstance(o, InputError)]
    results = iter(compute(images) if images else [])
    for path, outcome in waiting:
        yield failed(path, outcome) if isinstance(outcome, InputError) else next(results)


def _by_study(results: Iterable[Result], scorer: ImageScorer, fail_fast: bool) -> Iterator[Result]:
    means = StudyMeans()
    note = ""
    try:
        for result in results:
            if result.error is None:
                means.add(result)
            else:
                note = _CUT_SHORT if fail_fast else ""
                yield result
    except KeyboardInterrupt:
        yield from map(scorer.finished, means.results(_CUT_SHORT))
        raise
    yield from map(scorer.finished, means.results(note))
