"""Open the runner that a command names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tier_cli.commands.stopping import stopping

if TYPE_CHECKING:
    from tier_cli.commands.options import RunnerName
    from tier_cli.pipeline.runners.work import Runner


@contextmanager
def opened(runner: RunnerName, address: str | None, workers: int | None) -> Iterator[Runner]:
    """Open a runner for the block: see `tier_cli.pipeline.runners.opening.open_runner`.

    A signal ends the block in order, also where it comes before the first result: what the runner has started
    must not stay.
    """
    from tier_cli.pipeline.runners.opening import open_runner

    with stopping(), open_runner(runner.value, address, workers) as given:
        yield given
