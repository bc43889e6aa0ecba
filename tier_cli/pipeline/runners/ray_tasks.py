"""What runs in the processes of a Ray cluster: decode a few files, compute batches of images."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Generic, TypeVar

from tier_cli.decoding.pool import DecodePool
from tier_cli.errors import InputError, UsageError
from tier_cli.pipeline.runners.local import in_batches
from tier_cli.pipeline.versions import result_versions

if TYPE_CHECKING:
    from tier_cli.decoding.decode import Settings
    from tier_cli.decoding.prefetch import Outcome
    from tier_cli.imaging.discover import Source
    from tier_cli.pipeline.runners.work import Work

_T = TypeVar("_T")


def decode_files(sources: Sequence[Source], settings: Settings, driver: str) -> list[Outcome]:
    """Decode files, each within the limits of time and memory of `DecodePool`.

    Parameters
    ----------
    sources
        The files, by absolute paths.
    settings
        How to decode them.
    driver
        The id of the node that found the files.
    """
    return list(_decoded(sources, settings, driver))


def _decoded(sources: Sequence[Source], settings: Settings, driver: str) -> Iterator[Outcome]:
    for source in sources:
        outcome = source.error or _pool(settings).submit(source.path).result()
        if isinstance(outcome, InputError) and outcome.kind == "missing" and not source.error:
            outcome = _missing_here(outcome, driver)
        yield source.shown, outcome


# The decoding process of this process, which Ray uses for many tasks; both end together.
_pools: dict[Settings, DecodePool] = {}


def _pool(settings: Settings) -> DecodePool:
    """Return the decoding process with these settings; one with others, as of an earlier step, is ended."""
    if settings not in _pools:
        while _pools:
            _pools.popitem()[1].close()
        _pools[settings] = DecodePool(settings, 1)
    return _pools[settings]


def _missing_here(error: InputError, driver: str) -> InputError:
    import ray

    if ray.get_runtime_context().get_node_id() == driver:
        return error
    return InputError(
        f"no such file on the machine {platform.node()} of the Ray cluster",
        where=error.where,
        remedy="give paths that all machines see, as on a shared file system",
        kind="missing",
    )


class BatchComputer(Generic[_T]):
    """Computes batches; its engine is opened once.

    Parameters
    ----------
    work
        What to compute.
    versions
        The packages of the machine that started the run.
    """

    def __init__(self, work: Work[_T], versions: Mapping[str, str]):
        # Warnings of readers quote file content, and Ray keeps what a process prints.
        warnings.simplefilter("ignore")
        self._work, self._versions = work, versions

    def ready(self) -> None:
        """Return once this process takes work.

        Raises
        ------
        UsageError
            If packages differ from those of the machine that started the run: they could give other numbers.
        """
        here = result_versions()
        for name in dict.fromkeys((*self._versions, *here)):
            there, own = self._versions.get(name, "none"), here.get(name, "none")
            if there != own:
                raise UsageError(
                    f"the machine {platform.node()} of the Ray cluster has {name} {own}, this one {there}",
                    where="--runner ray",
                    remedy="install the same packages on all machines",
                )

    def compute(self, *outcomes: list[Outcome]) -> list[_T]:
        """Return one result per file, in order."""
        return list(in_batches(chain.from_iterable(outcomes), self._work))
