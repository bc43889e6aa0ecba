"""Open the runner that a command names: this machine, a Ray cluster, or Ray on this machine alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from tier_cli.pipeline.runners.work import Runner


@contextmanager
def open_runner(name: str, address: str | None = None, workers: int | None = None) -> Iterator[Runner]:
    """Open a runner for the block.

    Parameters
    ----------
    name
        ``local`` or ``ray``.
    address
        The address of a Ray cluster; None for that in RAY_ADDRESS, else for Ray on this machine alone, which
        is started for the block.
    workers
        Decoding processes of a Ray that is started; None for one per CPU.

    Raises
    ------
    UsageError
        If the options do not go together, or the cluster cannot be joined.
    """
    if name == "local":
        if address is not None:
            raise UsageError("needs --runner ray", where="--ray-address", remedy="add it")
        from tier_cli.pipeline.runners.local import LocalRunner

        yield LocalRunner()
        return
    from tier_cli.pipeline.runners.ray_opening import open_ray

    with open_ray(address, workers) as opened:
        yield opened
