"""Run on this machine: decode in other processes, compute in this one."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from tier_cli.errors import InputError

if TYPE_CHECKING:
    from tier_cli.decoding.decode import Decoded
    from tier_cli.decoding.prefetch import Outcome
    from tier_cli.imaging.discover import Source
    from tier_cli.model.checkpoint import Checkpoint
    from tier_cli.model.engine import Engine
    from tier_cli.pipeline.runners.work import Work

_T = TypeVar("_T")

# How many failed files may wait behind an image until its batch is full, in batches.
_MAX_WAIT = 4


class LocalRunner:
    """Runs on this machine."""

    def open_engine(self, checkpoint: Checkpoint, engine: str, device: str) -> Engine:
        """Open an engine in this process."""
        from tier_cli.model.open_engine import open_engine

        return open_engine(checkpoint, engine, device)

    def run(self, sources: Iterable[Source], work: Work[_T], workers: int) -> Generator[_T, None, None]:
        """Yield one result per source, in order. Where files arrive slowly, a batch ends early."""
        # Imported here: a wrong name of a model is refused before anything heavy is loaded.
        from tier_cli.decoding.prefetch import decoded

        with closing(decoded(sources, work.settings, workers, work.batch_size)) as outcomes:
            yield from in_batches(outcomes, work)


def in_batches(outcomes: Iterable[Outcome], work: Work[_T]) -> Iterator[_T]:
    """Yield one result per decoded file, in order; `PAUSED` ends a batch."""
    from tier_cli.decoding.prefetch import PAUSED

    waiting: list[Outcome] = []
    images = 0
    for given in outcomes:
        if given is PAUSED:
            yield from _flush(waiting, work)
            waiting, images = [], 0
            continue
        path, outcome = given
        waiting.append((path, outcome))
        images += not isinstance(outcome, InputError)
        if images in (0, work.batch_size) or len(waiting) >= _MAX_WAIT * work.batch_size:
            yield from _flush(waiting, work)
            waiting, images = [], 0
    yield from _flush(waiting, work)


def _flush(waiting: list[Outcome], work: Work[_T]) -> Iterator[_T]:
    images: list[tuple[str, Decoded]] = [(p, o) for p, o in waiting if not isinstance(o, InputError)]
    results = iter(work.compute(images) if images else [])
    for path, outcome in waiting:
        yield work.failed(path, outcome) if isinstance(outcome, InputError) else next(results)
