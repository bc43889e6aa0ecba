"""The batches of a run, made ahead of the model in processes of their own."""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from tier_cli.errors import TierError
from tier_cli.model.engine import usable_cpus

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from tier_cli.model.tokens import TextTokenizer
    from tier_cli.training.data.pairs import Pairs

    Rows = NDArray[np.int64]

# Batches a process; they lie in shared memory.
_AHEAD = 2
_MOST_PROCESSES = 8


class ImageSource(Protocol):
    """Gives the encoders their inputs.

    Attributes
    ----------
    slow
        Whether files are decoded for every batch.
    """

    slow: bool

    def batch(self, rows: Rows, places: Rows) -> tuple[Tensor, Rows, list[tuple[int, str]]]:
        """Inputs of rows drawn at places of the run, the rows really taken, and those that are unreadable."""
        ...


class Batch(NamedTuple):
    """One process's part of a step: rows (n,), inputs (n, ...), ids and mask (n, T), what was unreadable.

    One that could not be made has only the rows and the error that says why.
    """

    rows: Tensor
    inputs: Tensor
    ids: Tensor
    mask: Tensor
    bad: list[tuple[int, str]]
    error: TierError | None = None

    def to(self, device: torch.device) -> Batch:
        """The same with inputs and texts on a device."""
        inputs, ids, mask = (t.to(device, non_blocking=True) for t in (self.inputs, self.ids, self.mask))
        if inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return self._replace(inputs=inputs, ids=ids, mask=mask)


@dataclass
class Plan:
    """Which rows each step draws: a function of the seed and the step.

    Parameters
    ----------
    pairs
        Draws the rows of an epoch.
    batch_size, steps_per_epoch
        Of all processes together.
    rank, size
        This process takes one of so many equal parts of every batch.
    """

    pairs: Pairs
    batch_size: int
    steps_per_epoch: int
    rank: int = 0
    size: int = 1
    _epoch: int = -1
    _order: Rows | None = None

    def rows(self, step: int) -> Rows:
        """Rows of this process at a step, counted from 0 over the whole run."""
        epoch, within = divmod(step, self.steps_per_epoch)
        if self._order is None or epoch != self._epoch:
            self._order = self.pairs.draw(epoch, self.steps_per_epoch * self.batch_size)
            self._epoch = epoch
        return self._order[within * self.batch_size :][: self.batch_size][self._part()]

    def places(self, step: int) -> Rows:
        """Where in the whole run these rows are drawn."""
        return self.all_places(step)[self._part()]

    def all_places(self, step: int) -> Rows:
        """The same for the rows of all processes."""
        return np.arange(step * self.batch_size, (step + 1) * self.batch_size)

    def _part(self) -> slice:
        share = self.batch_size // self.size
        return slice(self.rank * share, (self.rank + 1) * share)


@dataclass
class Batches(Dataset[Batch]):
    """Batches by step; goes to the loading processes as it is."""

    plan: Plan
    images: ImageSource
    tokenizer: TextTokenizer

    def __getitem__(self, step: int) -> Batch:
        """The batch of one step."""
        rows, places = self.plan.rows(step), self.plan.places(step)
        try:
            inputs, taken, bad = self.images.batch(rows, places)
        except TierError as error:
            # Not raised here: a loading process would wrap it in its traceback.
            nothing = torch.empty(0)
            return Batch(torch.from_numpy(rows), nothing, nothing, nothing, [], error)
        ids, mask = self.tokenizer(self.plan.pairs.texts(taken, places))
        return Batch(torch.from_numpy(taken), inputs, torch.from_numpy(ids), torch.from_numpy(mask), bad)


def load(
    batches: Batches, first: int, last: int, workers: int, device: torch.device
) -> Generator[Batch, None, None]:
    """Batches of the steps `first` to `last` - 1, in order; the next ones are made meanwhile.

    Close it when an error ends the steps: its processes end with it, and with nothing else.

    Parameters
    ----------
    batches, first, last
        What makes them, and which.
    workers
        Processes; 0 makes each batch when it is asked for.
    device
        Where they will be used.
    """
    options: dict[str, Any] = {}
    if workers:
        # Not forked: threads of torch and of codecs do not survive that.
        options = {
            "multiprocessing_context": "spawn",
            "prefetch_factor": _AHEAD,
            "worker_init_fn": _prepare,
        }
    yield from DataLoader(
        batches,
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=device.type == "cuda",
        # Its own, for it would draw from the one that dropout uses.
        generator=torch.Generator().manual_seed(0),
        **options,
    )


def loading_processes(images: ImageSource, device: torch.device) -> int:
    """How many processes to load with: none where batches are cheap and the model wants the CPU itself."""
    cpus = usable_cpus() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device.type == "cpu":
        return max(1, cpus // 4) if images.slow else 0
    return max(1, min(cpus, _MOST_PROCESSES))


def _prepare(worker: int) -> None:
    torch.set_num_threads(1)
    # These reach all processes of a job; the first of them decides when the others end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Nothing is left to do by then, and the end of a library's threads (Arrow's) may abort the process, of
    # which torch makes a traceback on the terminal of a run that was merely stopped.
    atexit.register(os._exit, 0)


def _as_it_is(batch: Any) -> Any:
    return batch
