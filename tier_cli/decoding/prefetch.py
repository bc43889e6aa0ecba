"""Decode a bounded number of files ahead of the model, in the order of the sources."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from itertools import chain
from typing import TYPE_CHECKING

from tier_cli.decoding.decode import Decoded, Settings, decode
from tier_cli.decoding.pool import DecodePool
from tier_cli.errors import InputError
from tier_cli.imaging.discover import PAUSE

if TYPE_CHECKING:
    from tier_cli.imaging.discover import Source

# Up to this many files are decoded in this process: starting others takes longer.
INLINE_FILES = 4
_AHEAD_PER_WORKER = 2

Outcome = tuple[str, Decoded | InputError]
# The outcome of `PAUSE`: no further file can be had yet, so a batch that is not full need not wait.
PAUSED: Outcome = (PAUSE.path, InputError("no further file yet"))


def decoded(
    sources: Iterable[Source], settings: Settings, workers: int, batch_size: int
) -> Generator[Outcome, None, None]:
    """Yield each source's path with its prepared image or its error, in order, and `PAUSED` for `PAUSE`.

    Parameters
    ----------
    sources, settings
        What to read, and how.
    workers
        Decoding processes; with 0, or with at most `INLINE_FILES` files, decode in this process.
    batch_size
        Images per batch: the next batch is decoded while the model computes.
    """
    iterator = iter(sources)
    first: list[Source] = []
    for source in iterator:
        first.append(source)
        if source is PAUSE:
            yield from _inline(first, settings)
            first = []
        elif workers == 0 or len(first) > INLINE_FILES:
            break
    every = chain(first, iterator)
    if workers == 0 or len(first) <= INLINE_FILES:
        yield from _inline(every, settings)
        return
    waiting: deque[tuple[str, InputError | Future[Decoded | InputError]]] = deque()
    with DecodePool(settings, workers) as pool:
        for source in every:
            if source is PAUSE:
                while waiting:
                    yield _next(waiting)
                yield PAUSED
                continue
            waiting.append((source.path, source.error or pool.submit(source.path)))
            if len(waiting) > batch_size + _AHEAD_PER_WORKER * workers:
                yield _next(waiting)
        while waiting:
            yield _next(waiting)


def _inline(sources: Iterable[Source], settings: Settings) -> Iterator[Outcome]:
    """Decode in this process."""
    for source in sources:
        if source is PAUSE:
            yield PAUSED
        else:
            yield source.path, source.error or decode(source.path, settings)


def _next(waiting: deque[tuple[str, InputError | Future[Decoded | InputError]]]) -> Outcome:
    path, outcome = waiting.popleft()
    return path, outcome.result() if isinstance(outcome, Future) else outcome
