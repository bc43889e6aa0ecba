"""Decode a bounded number of files ahead of the model, in the order of the sources."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from itertools import chain
from typing import TYPE_CHECKING

from tier_cli.decoding.decode import Decoded, Settings, decode
from tier_cli.decoding.light import is_light
from tier_cli.decoding.pool import DecodePool
from tier_cli.errors import InputError
from tier_cli.imaging.discover import PAUSE

if TYPE_CHECKING:
    from tier_cli.imaging.discover import Source

# Up to this many files are decoded in this process if they are light: starting others takes longer.
INLINE_FILES = 4
_AHEAD_PER_WORKER = 2

Outcome = tuple[str, Decoded | InputError]
# The outcome of `PAUSE`: no further file can be had yet, so a batch that is not full need not wait.
PAUSED: Outcome = (PAUSE.path, InputError("no further file yet"))


def decoded(
    sources: Iterable[Source], settings: Settings, workers: int, batch_size: int
) -> Generator[Outcome, None, None]:
    """Yield each source's name with its prepared image or its error, in order, and `PAUSED` for `PAUSE`.

    Parameters
    ----------
    sources, settings
        What to read, and how.
    workers
        Decoding processes; with 0, decode everything in this process, without limits of time and memory.
        At most `INLINE_FILES` files are decoded in this process if they are light, see `is_light`.
    batch_size
        Images per batch: the next batch is decoded while the model computes.
    """
    if workers == 0:
        for source in sources:
            yield PAUSED if source is PAUSE else (source.shown, source.error or decode(source.path, settings))
        return
    iterator = iter(sources)
    first: list[Source] = []
    waiting: deque[tuple[str, InputError | Future[Decoded | InputError]]] = deque()
    with DecodePool(settings, workers) as pool:
        for source in iterator:
            first.append(source)
            if source is PAUSE:
                yield from _few(first, settings, pool)
                first = []
            elif len(first) > INLINE_FILES:
                break
        else:
            yield from _few(first, settings, pool)
            return
        for source in chain(first, iterator):
            if source is PAUSE:
                while waiting:
                    yield _next(waiting)
                yield PAUSED
                continue
            waiting.append((source.shown, source.error or pool.submit(source.path)))
            if len(waiting) > batch_size + _AHEAD_PER_WORKER * workers:
                yield _next(waiting)
        while waiting:
            yield _next(waiting)


def _few(sources: Iterable[Source], settings: Settings, pool: DecodePool) -> Iterator[Outcome]:
    """Decode in this process what is safe to decode here; the pool starts no process until it has work."""
    for source in sources:
        if source is PAUSE:
            yield PAUSED
        elif source.error is not None:
            yield source.shown, source.error
        elif is_light(source.path):
            yield source.shown, decode(source.path, settings)
        else:
            yield source.shown, pool.submit(source.path).result()


def _next(waiting: deque[tuple[str, InputError | Future[Decoded | InputError]]]) -> Outcome:
    path, outcome = waiting.popleft()
    return path, outcome.result() if isinstance(outcome, Future) else outcome
