"""Several processes as one: what torchrun started works on one batch and writes one checkpoint."""

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
# The others wait while the first reads images or validates, which may take hours.
_PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class World:
    """This process among those of a run; alone unless torchrun says otherwise.

    Parameters
    ----------
    rank, size
        Number of this process, and how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def gather(self, values: Tensor) -> Tensor:
        """Stack the rows of all processes, (n, ...) -> (size * n, ...); gradients flow back to each."""
        if self.size == 1:
            return values
        everyone: Tensor = _Gather.apply(values, self.rank, self.size)  # type: ignore[no-untyped-call]
        return everyone

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes; carries no gradient."""
        value = value.detach().clone()
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def most(self, number: int, device: torch.device) -> int:
        """The largest of the numbers of all processes."""
        if self.size == 1:
            return number
        value = torch.tensor(number, device=device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return int(value.item())

    def everyones(self, thing: _Result) -> list[_Result]:
        """What each process has, by rank; slow, for what is rare."""
        if self.size == 1:
            return [thing]
        things: list[Any] = [None] * self.size
        dist.all_gather_object(things, thing)
        return things

    def first_does(self, work: Callable[[], _Result]) -> _Result:
        """Let the first process do something while the others wait; all get its result, or its error."""
        if self.size == 1:
            return work()
        outcome: list[Any] = [None, None]
        if self.first:
            try:
                outcome = [work(), None]
            except TierError as error:
                outcome = [None, error]
            except BaseException:
                # The others would wait for days; what it was is told by the one that it happened to.
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
        alone: tuple[nn.Parameter, ...],
        every_one_used: bool = True,
    ) -> nn.Module:
        """The encoders with gradients averaged over the processes.

        Parameters
        ----------
        encoders, device
            What to share, on the device of this process.
        alone
            Parameters of the encoders whose gradients are whole in every process already.
        every_one_used
            False looks at every step for parameters that the features do not depend on, which takes time.
        """
        if self.size == 1:
            return encoders
        learning = [parameter for parameter in alone if parameter.requires_grad]
        for parameter in learning:
            parameter.requires_grad_(False)
        # What does not learn when it is wrapped is left alone from then on.
        wrapped = nn.parallel.DistributedDataParallel(
            encoders,
            device_ids=[device] if device.type == "cuda" else None,
            gradient_as_bucket_view=True,
            find_unused_parameters=not every_one_used,
        )
        for parameter in learning:
            parameter.requires_grad_(True)
        return wrapped


def join_world(device: str) -> tuple[World, torch.device]:
    """Join the processes that torchrun started and take this one's device.

    Raises
    ------
    UsageError
        More processes on this machine than it has devices of that kind.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World(), torch.device(device)
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda":
        there = torch.cuda.device_count()
        if local >= there:
            raise UsageError(
                f"process {local + 1} of this machine has no GPU of its own: there are {there}",
                remedy=f"give torchrun --nproc-per-node {there}",
            )
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=_PATIENCE)
    return World(dist.get_rank(), dist.get_world_size()), torch.device(device)


def leave_world() -> None:
    """Part from the other processes, all at once.

    Not after an error: NCCL would wait for those that wait for this one, and torchrun, which ends them all
    when one has ended, would never learn of it.
    """
    if dist.is_initialized():
        dist.destroy_process_group()


class _Gather(torch.autograd.Function):
    """All rows everywhere. Back comes the sum of what all processes want of this one's rows."""

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
