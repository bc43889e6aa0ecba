"""Prepare the batches of a run ahead of the model, in worker processes."""

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
    from tier_cli.training.inputs.regions import RegionBatch, TrainingRegions

    Rows = NDArray[np.int64]

# Batches prepared ahead per worker process; they are held in shared memory.
_PREFETCH = 2
_MOST_PROCESSES = 8


class ImageSource(Protocol):
    """Provide inputs to the image encoder.

    Attributes
    ----------
    slow
        Whether files are decoded for every batch.
    """

    slow: bool

    def batch(self, rows: Rows, places: Rows) -> tuple[Tensor, Rows, list[tuple[int, str]]]:
        """Return inputs of rows drawn at places of the run, the rows actually used, and unreadable rows."""
        ...


class Batch(NamedTuple):
    """Hold one process's part of a step.

    Rows (n,), inputs (n, ...), token ids and mask (n, T), the unreadable rows with the reasons, and the
    regions of the images, if the objective needs them. A batch that could not be prepared holds only the rows
    and the error.
    """

    rows: Tensor
    inputs: Tensor
    ids: Tensor
    mask: Tensor
    bad: list[tuple[int, str]]
    error: TierError | None = None
    regions: RegionBatch | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch with inputs and texts moved to a device."""
        inputs, ids, mask = (t.to(device, non_blocking=True) for t in (self.inputs, self.ids, self.mask))
        if inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return self._replace(inputs=inputs, ids=ids, mask=mask)


@dataclass
class Plan:
    """Decide which rows each step draws, from the seed and the step alone.

    Parameters
    ----------
    pairs
        Draws the rows of an epoch.
    batch_size, steps_per_epoch
        Counted over all processes.
    rank, size
        Number of this process and count of processes: each takes an equal part of every batch.
    """

    pairs: Pairs
    batch_size: int
    steps_per_epoch: int
    rank: int = 0
    size: int = 1
    _epoch: int = -1
    _order: Rows | None = None

    def rows(self, step: int) -> Rows:
        """Return the rows of this process at a step, counted from 0 over the whole run."""
        epoch, within = divmod(step, self.steps_per_epoch)
        if self._order is None or epoch != self._epoch:
            self._order = self.pairs.draw(epoch, self.steps_per_epoch, self.batch_size)
            self._epoch = epoch
        return self._order[within * self.batch_size :][: self.batch_size][self.part]

    def places(self, step: int) -> Rows:
        """Return the places in the whole run at which `rows` are drawn."""
        return self.all_places(step)[self.part]

    def all_places(self, step: int) -> Rows:
        """Return the places of a step's rows over all processes."""
        return np.arange(step * self.batch_size, (step + 1) * self.batch_size)

    @property
    def part(self) -> slice:
        """Which rows of a step are those of this process."""
        share = self.batch_size // self.size
        return slice(self.rank * share, (self.rank + 1) * share)


@dataclass
class Batches(Dataset[Batch]):
    """Map each step to its batch; pickled unchanged to the worker processes."""

    plan: Plan
    images: ImageSource
    tokenizer: TextTokenizer
    regions: TrainingRegions | None = None

    def __getitem__(self, step: int) -> Batch:
        """Return the batch of one step."""
        rows, places = self.plan.rows(step), self.plan.places(step)
        try:
            inputs, used, bad = self.images.batch(rows, places)
        except TierError as error:
            # Returned, not raised: a worker process would wrap it in its traceback.
            nothing = torch.empty(0)
            return Batch(torch.from_numpy(rows), nothing, nothing, nothing, [], error)
        ids, mask = self.tokenizer(self.plan.pairs.texts(used, places))
        texts = torch.from_numpy(ids), torch.from_numpy(mask)
        regions = None if self.regions is None else self.regions.batch(used, places, step)
        return Batch(torch.from_numpy(used), inputs, *texts, bad, regions=regions)


def load(
    batches: Batches, first: int, last: int, workers: int, device: torch.device
) -> Generator[Batch, None, None]:
    """Yield the batches of steps `first` to `last` - 1 in order, preparing the next ones meanwhile.

    Close the generator when an error ends the run: only that ends its worker processes.

    Parameters
    ----------
    batches, first, last
        The batches, and the range of steps.
    workers
        Worker processes; 0 prepares each batch in this process when it is needed.
    device
        The device that will use the batches.
    """
    options: dict[str, Any] = {}
    if workers:
        # Spawned, not forked: the threads of torch and of the codecs do not survive a fork.
        options = {
            "multiprocessing_context": "spawn",
            "prefetch_factor": _PREFETCH,
            "worker_init_fn": _set_up_worker,
        }
    yield from DataLoader(
        batches,
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        collate_fn=_unchanged,
        pin_memory=device.type == "cuda",
        # A generator of its own: otherwise the loader draws from the one that dropout uses.
        generator=torch.Generator().manual_seed(0),
        **options,
    )


def default_workers(images: ImageSource, device: torch.device) -> int:
    """Return the number of worker processes: 0 where batches are cheap and the model needs the CPU."""
    cpus = usable_cpus() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device.type == "cpu":
        return max(1, cpus // 4) if images.slow else 0
    return max(1, min(cpus, _MOST_PROCESSES))


def _set_up_worker(worker: int) -> None:
    torch.set_num_threads(1)
    # These signals reach every process of a job; the main process decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Exit at once: a library's threads (Arrow's) may abort the process during its shutdown, and torch would
    # then show a traceback for a run that was merely stopped.
    atexit.register(os._exit, 0)


def _unchanged(batch: Any) -> Any:
    return batch
