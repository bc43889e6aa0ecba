"""Let the processes that torchrun started train on one batch and write one checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tier_cli.errors import TierError, UsageError

_Result = TypeVar("_Result")
# The other processes wait while the first reads images or validates, which may take hours.
_TIMEOUT = timedelta(days=2)


@dataclass(frozen=True)
class World:
    """Identify this process among those of a run: one process unless torchrun started several.

    Parameters
    ----------
    rank, size
        Number of this process, and the count of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Return whether this process is the one that writes."""
        return self.rank == 0

    def gather(self, values: Tensor) -> Tensor:
        """Stack the rows of all processes, (n, ...) -> (size * n, ...); gradients flow back to each."""
        if self.size == 1:
            return values
        gathered: Tensor = _Gather.apply(values, self.rank, self.size)  # type: ignore[no-untyped-call]
        return gathered

    def total(self, value: Tensor) -> Tensor:
        """Sum a tensor over all processes; the result carries no gradient."""
        value = value.detach().clone()
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def maximum(self, number: int, device: torch.device) -> int:
        """Return the largest of the processes' numbers."""
        if self.size == 1:
            return number
        value = torch.tensor(number, device=device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return int(value.item())

    def gather_objects(self, item: _Result) -> list[_Result]:
        """Collect one object from each process, ordered by rank; slow, so only for rare events."""
        if self.size == 1:
            return [item]
        items: list[Any] = [None] * self.size
        dist.all_gather_object(items, item)
        return items

    def first_does(self, work: Callable[[], _Result]) -> _Result:
        """Run `work` in the first process while the others wait; all receive its result or its error."""
        if self.size == 1:
            return work()
        outcome: list[Any] = [None, None]
        if self.first:
            try:
                outcome = [work(), None]
            except TierError as error:
                outcome = [None, error]
            except BaseException:
                # The others would wait for days. The first process itself reports what went wrong.
                dist.broadcast_object_list([None, TierError("the first process of the run failed")])
                raise
        dist.broadcast_object_list(outcome)
        if outcome[1] is not None:
            raise outcome[1]
        result: _Result = outcome[0]
        return result

    def shared(
        self,
        encoders: nn.Module,
        device: torch.device,
        complete: tuple[nn.Parameter, ...],
        all_used: bool = True,
    ) -> nn.Module:
        """Wrap the encoders so that gradients are averaged over the processes.

        Parameters
        ----------
        encoders, device
            The module to share, and the device of this process.
        complete
            Parameters of the encoders whose gradients are already complete in every process.
        all_used
            False looks at every step for parameters that the features do not depend on, which takes time.
        """
        if self.size == 1:
            return encoders
        learning = [parameter for parameter in complete if parameter.requires_grad]
        for parameter in learning:
            parameter.requires_grad_(False)
        # DistributedDataParallel ignores parameters that do not require gradients when it wraps the module.
        wrapped = nn.parallel.DistributedDataParallel(
            encoders,
            device_ids=[device] if device.type == "cuda" else None,
            gradient_as_bucket_view=True,
            find_unused_parameters=not all_used,
        )
        for parameter in learning:
            parameter.requires_grad_(True)
        return wrapped


def join_world(device: str) -> tuple[World, torch.device]:
    """Join the processes that torchrun started and select the device of this one.

    Raises
    ------
    UsageError
        This machine runs more processes than it has devices of that kind.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World(), torch.device(device)
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda":
        gpus = torch.cuda.device_count()
        if local >= gpus:
            raise UsageError(
                f"process {local + 1} on this machine has no GPU of its own: the machine has {gpus}",
                remedy=f"start torchrun with --nproc-per-node {gpus}",
            )
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=_TIMEOUT)
    return World(dist.get_rank(), dist.get_world_size()), torch.device(device)


def leave_world() -> None:
    """Leave the process group; all processes do so together.

    Do not call it after an error: NCCL would wait for the other processes, which wait for this one, so this
    one would never end, and torchrun ends the others only when one of them has ended.
    """
    if dist.is_initialized():
        dist.destroy_process_group()


class _Gather(torch.autograd.Function):
    """Gather the rows of all processes; backward sums all processes' gradients for this one's rows."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, rank: int, size: int) -> Tensor:
        ctx.rank, ctx.rows = rank, len(values)
        parts = [torch.empty_like(values) for _ in range(size)]
        dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        first = ctx.rank * ctx.rows
        return gradient[first : first + ctx.rows], None, None
