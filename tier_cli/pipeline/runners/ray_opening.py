"""Join a Ray cluster, or start Ray on this machine alone."""

from __future__ import annotations

import atexit
import logging
import os
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tier_cli.errors import UsageError
from tier_cli.packages import require_extras

if TYPE_CHECKING:
    from tier_cli.pipeline.runners.work import Runner

ADDRESS_VARIABLE = "RAY_ADDRESS"
# Read by Ray when it is imported, and inherited by its processes.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
}
# Ray would try for a quarter of an hour to join what answers, but is no Ray.
_ONE_TRY = {"RAY_NUM_REDIS_GET_RETRIES": "1"}
# Ray listens on loopback alone where it believes that there are no other machines. Its processes have the
# priority of this one, as decoding processes have without Ray.
_ALONE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_worker_niceness": "0",
}
# The sockets of Ray lie up to 83 characters below the folder of temporary files, and their paths have at most
# 107.
_LONGEST_FOLDER = 24
# How long a cluster may take to answer, in seconds.
_ANSWER = 20.0
# What Ray calls a cluster of its own.
_LOCAL = "local"


@contextmanager
def open_ray(address: str | None, workers: int | None) -> Iterator[Runner]:
    """Open a runner for the block; parameters and errors as for `open_runner`."""
    joined = address or os.environ.get(ADDRESS_VARIABLE)
    joined = None if joined == _LOCAL else joined
    _check(joined, workers)
    require_extras("--runner ray", "ray")
    os.environ.update(_QUIET)
    with _joined(joined) if joined else _started(workers) as runner:
        yield runner


def _check(address: str | None, workers: int | None) -> None:
    if workers == 0:
        raise UsageError("Ray decodes in processes of its own", where="--workers 0", remedy="omit it")
    if address is None:
        return
    if workers is not None:
        raise UsageError(
            "a Ray cluster knows how many files it can decode at once", where="--workers", remedy="omit it"
        )
    if "://" in address:
        raise UsageError(
            "is the address of a client, not of a machine of the cluster",
            where=f"--ray-address {address}",
            remedy="run tier on a machine of the cluster and give HOST:PORT or auto",
        )


@contextmanager
def _joined(address: str) -> Iterator[Runner]:
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        # Ray itself waits for minutes.
        try:
            socket.create_connection((host.strip("[]"), int(port)), _ANSWER).close()
        except (OSError, OverflowError) as error:
            raise _not_joined(address, error) from error
    os.environ.update(_ONE_TRY)
    with _ray(address) as runner:
        yield runner


@contextmanager
def _started(cpus: int | None) -> Iterator[Runner]:
    from tier_cli.model.engine import usable_cpus

    # Only processes that know the token may talk to this Ray. Ray's own one would be in the home folder.
    os.environ.update({**_ALONE, "RAY_AUTH_TOKEN": secrets.token_hex(32)})
    with (
        _private_folder() as folder,
        _ray(_LOCAL, num_cpus=cpus or usable_cpus(), include_dashboard=False, _temp_dir=folder) as runner,
    ):
        yield runner


@contextmanager
def _private_folder() -> Iterator[str]:
    """Make a folder for Ray, which opens it to all: in one that only this user can enter."""
    short = len(tempfile.gettempdir()) <= _LONGEST_FOLDER
    above = None if short else "/tmp"  # noqa: S108 - the folder in it has a random name and belongs to this user
    with tempfile.TemporaryDirectory(prefix="tier-", dir=above, ignore_cleanup_errors=True) as private:
        # Where Ray's start fails, its processes end, and write, until this process does; what was registered
        # first is done last.
        atexit.register(shutil.rmtree, private, ignore_errors=True)
        yield os.path.join(private, "r")


@contextmanager
def _ray(address: str, **settings: Any) -> Iterator[Runner]:
    import ray
    from ray._private import utils, worker

    from tier_cli.pipeline.runners.ray_runner import RayRunner

    # Where a machine is lost, this prints the end of its log to stdout, among the results; no setting of Ray
    # stops it.
    worker.listen_error_messages = lambda *_: None
    # Ray's handler of SIGTERM would end the process at once, and its output with it.
    utils.set_sigterm_handler = lambda *_: None
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    settings |= {"configure_logging": False, "log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        try:
            ray.init(address, **settings)
        # Ray raises plain exceptions too, of a slow start for example.
        except Exception as error:
            raise _not_joined(address, error) from error
        yield RayRunner()
    finally:
        ray.shutdown()


def _not_joined(address: str, error: Exception) -> UsageError:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error).strip()
    # Ray goes on for lines.
    first = re.split(r"[.:]?\s*\n|\. ", text, maxsplit=1)[0] or type(error).__name__
    if address == _LOCAL:
        return UsageError(
            f"Ray cannot be started ({first})", where="--runner ray", remedy="use --runner local"
        )
    return UsageError(
        f"the Ray cluster cannot be joined ({first})",
        where=f"--ray-address {address}",
        remedy="give HOST:PORT of its head, and run tier on one of its machines",
    )
