"""Run on a Ray cluster: tasks decode anywhere, one process per device computes, this one keeps the order.

Ray's tasks and actors, and not Ray Data: a run is a stream whose next file may depend on the results so far
(a list on stdin), of which millions may follow, and its results are wanted one by one, in order. Ray Data
wants all its inputs at the start.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tier_cli.errors import InputError, TierError
from tier_cli.imaging.discover import PAUSE
from tier_cli.model.open_engine import has_graphs
from tier_cli.pipeline.runners.ray_tasks import BatchComputer, decode_files
from tier_cli.pipeline.runners.worker_engine import WorkerEngine
from tier_cli.pipeline.versions import result_versions

if TYPE_CHECKING:
    from tier_cli.imaging.discover import Source
    from tier_cli.model.checkpoint import Checkpoint
    from tier_cli.model.engine import Engine
    from tier_cli.pipeline.runners.work import Work

_T = TypeVar("_T")

# A task is a few files: enough to be worth sending, few enough to share the last ones of a run.
_FILES_PER_TASK = 8
# How often a batch is sent again after its process or machine was lost.
_TRIES = 8
# How many processes may end on a machine before they take work, until it is clear that none ever will.
_VAIN_STARTS = 3
# How long to wait for a machine that can compute, and how often to look for new ones.
_PATIENCE, _LOOK = 600.0, 10.0
# How long the head may be silent, in seconds. After 60 s, Ray would end this process without a word of ours.
_SILENCE = 20.0
# What prepared images may take of the memory that Ray shares between processes: it must never go to a disk.
_SHARE = 0.25


class RayRunner:
    """Runs on the Ray cluster that this process has joined."""

    def __init__(self) -> None:
        self._on_gpus = False

    def open_engine(self, checkpoint: Checkpoint, engine: str, device: str) -> Engine:
        """Return what the workers open; with ``auto``, GPUs compute if the cluster has some."""
        if device == "auto":
            device = "cuda" if ray.cluster_resources().get("GPU", 0) else "cpu"
        if engine == "auto":
            engine = "onnx" if device == "cpu" and has_graphs(checkpoint.path) else "torch"
        self._on_gpus = device == "cuda"
        return WorkerEngine(checkpoint, engine, device)

    def run(self, sources: Iterable[Source], work: Work[_T], workers: int) -> Generator[_T, None, None]:
        """Yield one result per source, in order; `workers` means nothing here: Ray knows its CPUs."""
        run = _Run(work, self._on_gpus)
        with closing(run):
            yield from run.results(sources)


@dataclass(eq=False)
class _Computer:
    """A process that computes batches.

    Parameters
    ----------
    node
        The machine that it is on.
    actor, ready
        The process, and what is done once it takes work.
    load
        How many of its batches are not done.
    works
        Whether it is known to take work.
    """

    node: str
    actor: Any
    ready: Any
    load: int = 0
    works: bool = False


@dataclass(eq=False)
class _Batch:
    """Files under way."""

    sources: list[Source]
    computer: _Computer
    decoded: list[Any]
    results: Any
    tries: int = 1


class _Run(Generic[_T]):
    """One run over files."""

    def __init__(self, work: Work[_T], on_gpus: bool):
        self._work, self._on_gpus = work, on_gpus
        self._versions = result_versions()
        context = ray.get_runtime_context()
        self._driver = context.get_node_id()
        host, _, port = context.gcs_address.rpartition(":")
        self._head, self._is_lost = (host.strip("[]"), int(port)), False
        self._decode = ray.remote(decode_files)
        self._computers: list[_Computer] = []
        self._flight: deque[_Batch] = deque()
        self._pending: dict[Any, _Computer] = {}
        self._vain_starts: Counter[str] = Counter()
        self._looked = -_LOOK
        self._most = 2

    def results(self, sources: Iterable[Source]) -> Iterator[_T]:
        flight = self._flight
        for batch, pause in _batches(sources, self._work.batch_size):
            if batch:
                flight.append(self._started(batch))
            while flight and (pause or len(flight) > self._most or self._first_is_done()):
                yield from self._finished()
        while flight:
            yield from self._finished()

    def _first_is_done(self) -> bool:
        return self._flight[0].results not in self._unsettled()

    def close(self) -> None:
        """End what is under way."""
        if not self._is_lost:
            for batch in self._flight:
                for task in batch.decoded:
                    with suppress(RayError):
                        ray.cancel(task)
            for computer in self._computers:
                with suppress(RayError):
                    ray.kill(computer.actor)
        # What still refers to Ray after its end would complain.
        self._flight.clear()
        self._pending.clear()
        self._computers.clear()

    def _started(self, sources: list[Source]) -> _Batch:
        computer = self._free_computer()
        # On CPUs, images are computed where they are decoded; GPUs need the CPUs of all machines.
        where: Any = "SPREAD" if self._on_gpus else NodeAffinitySchedulingStrategy(computer.node, soft=True)
        task = self._decode.options(num_cpus=1, name="tier: decode", scheduling_strategy=where)
        found = [_by_absolute_path(source) for source in sources]
        decoded = [
            task.remote(found[first : first + _FILES_PER_TASK], self._work.settings, self._driver)
            for first in range(0, len(found), _FILES_PER_TASK)
        ]
        results = computer.actor.compute.remote(*decoded)
        computer.load += 1
        self._pending[results] = computer
        return _Batch(sources, computer, decoded, results)

    def _finished(self) -> list[_T]:
        """Return the results of the first batch under way; what was lost is sent again."""
        batch = self._flight[0]
        while True:
            while not ray.wait([batch.results], timeout=_LOOK, fetch_local=False)[0]:
                self._check_cluster()
            try:
                results: list[_T] = ray.get(batch.results)
            except RayError as error:
                _raise_unless_lost(error)
                if batch.tries >= _TRIES:
                    results = [self._lost(source) for source in batch.sources]
                else:
                    self._send_again(batch, isinstance(error, RayActorError))
                    batch = self._flight[0]
                    continue
            self._flight.popleft()
            return results

    def _send_again(self, lost: _Batch, with_computer: bool) -> None:
        """Start a batch again; if its computer was lost, also the others that it had."""
        if with_computer:
            self._forget(lost.computer)
        for number, batch in enumerate(self._flight):
            others = with_computer and batch.computer is lost.computer and not _is_there(batch.results)
            if batch is lost or others:
                if self._pending.pop(batch.results, None) is not None:
                    batch.computer.load -= 1
                self._flight[number] = replace(self._started(batch.sources), tries=batch.tries + 1)

    def _lost(self, source: Source) -> _T:
        error = InputError(
            f"the process or machine of the Ray cluster that had it was lost {_TRIES} times",
            where=source.path,
            remedy="look at the machines' memory, then run again",
            kind="crashed",
        )
        return self._work.failed(source.shown, source.error or error)

    def _unsettled(self) -> dict[Any, _Computer]:
        """Return the results that are not there yet, and count the load of each computer."""
        if self._pending:
            done, _ = ray.wait(
                list(self._pending), num_returns=len(self._pending), timeout=0, fetch_local=False
            )
            for results in done:
                self._pending.pop(results).load -= 1
        return self._pending

    def _free_computer(self) -> _Computer:
        """Return the computer that has least to do, waiting for one if need be."""
        until = time.monotonic() + _PATIENCE
        while True:
            self._look_for_machines()
            starting = {computer.ready: computer for computer in self._computers if not computer.works}
            ready = [computer for computer in self._computers if computer.works]
            if starting:
                done, _ = ray.wait(
                    list(starting), num_returns=len(starting), timeout=0 if ready else _LOOK / 10
                )
                for one in done:
                    self._greet(starting[one])
                ready = [computer for computer in self._computers if computer.works]
            if ready:
                self._unsettled()
                return min(ready, key=lambda computer: computer.load)
            if time.monotonic() > until:
                raise TierError(
                    f"no machine of the Ray cluster took work within {_PATIENCE:g} s",
                    where="--runner ray",
                    remedy="see whether its machines, or their GPUs, are free: ray status",
                )
            if not starting:
                time.sleep(_LOOK / 10)

    def _greet(self, computer: _Computer) -> None:
        try:
            ray.get(computer.ready)
            computer.works = True
        except RayError as error:
            _raise_unless_lost(error)
            self._forget(computer)
            alive = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}
            self._vain_starts[computer.node] += computer.node in alive
            if self._vain_starts[computer.node] == _VAIN_STARTS:
                raise TierError(
                    f"processes on the machine {alive[computer.node]} of the Ray cluster end at once",
                    where="--runner ray",
                    remedy="install the same tier-cli there, and look at its memory",
                ) from None

    def _forget(self, computer: _Computer) -> None:
        """Count on a computer no more; another one is started in its place if its machine is there."""
        if computer in self._computers:
            self._computers.remove(computer)
            self._looked = -_LOOK

    def _look_for_machines(self) -> None:
        """Have a computer for each GPU, or on CPU for each machine, of those that there are now."""
        if time.monotonic() < self._looked + _LOOK:
            return
        self._looked = time.monotonic()
        kind, cpus = ("GPU" if self._on_gpus else "CPU"), 0.0
        for node in self._check_cluster():
            has = node["Resources"] if node["Alive"] else {}
            cpus += has.get("CPU", 0)
            wanted = int(has.get("GPU", 0)) if self._on_gpus else int(has.get("CPU", 0) > 0)
            there = sum(computer.node == node["NodeID"] for computer in self._computers)
            for _ in range(wanted - there):
                self._computers.append(self._computer(node["NodeID"]))
        if not self._computers and kind == "GPU":
            raise TierError(
                "no machine of the Ray cluster has a GPU", where="--device", remedy="use --device cpu"
            )
        # Twice as many tasks as CPUs, and two batches for each computer besides; but no more than fit.
        wanted = 2 + 2 * int(cpus) * _FILES_PER_TASK // self._work.batch_size + 2 * len(self._computers)
        memory = ray.cluster_resources().get("object_store_memory", 0) * _SHARE
        self._most = max(2, min(wanted, int(memory / (self._work.batch_size * _bytes_of(self._work)))))

    def _check_cluster(self) -> list[dict[str, Any]]:
        """Return the machines that Ray knows, while its head and its processes on this machine are there."""
        until = time.monotonic() + _SILENCE
        while not _answers(self._head):
            if time.monotonic() > until:
                raise self._ended("the head of the Ray cluster does not answer any more")
            time.sleep(1)
        nodes: list[dict[str, Any]] = ray.nodes()
        if not any(node["Alive"] and node["NodeID"] == self._driver for node in nodes):
            raise self._ended("the processes of Ray on this machine have ended")
        return nodes

    def _ended(self, what: str) -> TierError:
        self._is_lost = True
        remedy = "run the same command again when Ray runs, with --resume if there is a journal"
        return TierError(what, where="--runner ray", remedy=remedy)

    def _computer(self, node: str) -> _Computer:
        actor = (
            ray.remote(BatchComputer)
            .options(
                num_cpus=0,
                num_gpus=1 if self._on_gpus else 0,
                max_restarts=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
            )
            .remote(self._work, self._versions)
        )
        return _Computer(node, actor, actor.ready.remote())


def _batches(sources: Iterable[Source], size: int) -> Iterator[tuple[list[Source], bool]]:
    """Yield batches of files, and whether all must be done before the next file is asked for."""
    batch: list[Source] = []
    for source in sources:
        if source is PAUSE:
            yield batch, True
            batch = []
            continue
        batch.append(source)
        if len(batch) == size:
            yield batch, False
            batch = []
    yield batch, True


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, _SILENCE / 4).close()
    except OSError:
        return False
    return True


def _by_absolute_path(source: Source) -> Source:
    return replace(source, path=os.path.abspath(source.path), name=source.shown)


def _bytes_of(work: Work[Any]) -> int:
    settings = work.settings
    sides = [settings.preprocessing.crop] * (1 + len(settings.corruptions))
    sides += [other.crop for other in settings.others]
    return sum(12 * side * side for side in sides)


def _raise_unless_lost(error: RayError) -> None:
    """Raise what a worker raised; return if the worker or its machine was lost."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, TierError):
        raise cause from None
    if isinstance(error, RayTaskError) and not isinstance(cause, RayError):
        raise error


def _is_there(results: Any) -> bool:
    try:
        ray.get(results, timeout=0)
    except RayError:
        return False
    return True
