"""Define what a runner distributes: decode files, compute batches of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from tier_cli.decoding.decode import Decoded, Settings
    from tier_cli.errors import InputError
    from tier_cli.imaging.discover import Source
    from tier_cli.model.checkpoint import Checkpoint
    from tier_cli.model.engine import Engine

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Work(Generic[_T]):
    """What happens to each file of a run. A runner may send it to other machines.

    Parameters
    ----------
    settings
        How files are decoded.
    batch_size
        Images per batch.
    compute
        Turns a batch of named images into one result each.
    failed
        Returns the result of a file that could not be decoded.
    """

    settings: Settings
    batch_size: int
    compute: Callable[[list[tuple[str, Decoded]]], list[_T]]
    failed: Callable[[str, InputError], _T]


class Runner(Protocol):
    """Distributes the work of a run."""

    def open_engine(self, checkpoint: Checkpoint, engine: str, device: str) -> Engine:
        """Return the engine of a checkpoint: see `tier_cli.model.open_engine.open_engine`."""
        ...

    def run(self, sources: Iterable[Source], work: Work[_T], workers: int) -> Generator[_T, None, None]:
        """Yield one result per source, in order; a bounded number of files is read ahead.

        Parameters
        ----------
        sources
            The files. `PAUSE` ends a batch: its results come before the next source is asked for.
        work
            What happens to each.
        workers
            Decoding processes on this machine.
        """
        ...
