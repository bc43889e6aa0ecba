"""Start Ray for a run: private, and an error in one line where it cannot be started."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tier_cli.errors import UsageError
from tier_cli.pipeline.runners.ray_opening import open_ray

ray = pytest.importorskip("ray")

# What Ray puts below its folder, and how long the path of a socket may be.
_SOCKET = "session_2026-11-29_08-36-40_901205_4194304/sockets/plasma_store"
_LONGEST = 107


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What ray.init was called with, in place of a start of Ray."""
    made: list[dict[str, Any]] = []

    def init(address: str, **settings: Any) -> None:
        folder = Path(settings["_temp_dir"])
        folder.mkdir(mode=0o777)
        made.append({"address": address, "mode": folder.parent.stat().st_mode, **settings})

    for name in list(os.environ):
        if name.startswith("RAY_"):
            monkeypatch.delenv(name)
    # Undone at the end: opening sets variables.
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(ray, "init", init)
    return made


@pytest.mark.parametrize("address", [None, "local"])
def test_ray_on_this_machine_is_private(
    address: str | None, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if asked for by Ray's own name: no dashboard, a token, a folder that nobody else enters."""
    if address is not None:
        monkeypatch.setitem(os.environ, "RAY_ADDRESS", address)
    with open_ray(None, 1):
        pass
    (call,) = calls
    assert (call["address"], call["include_dashboard"]) == ("local", False)
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert stat.S_IMODE(call["mode"]) == 0o700
    assert not Path(call["_temp_dir"]).parent.exists()


@pytest.mark.parametrize("length", [10, 20, 24, 25, 30, 34, 35, 60])
def test_paths_of_sockets_fit(
    length: int, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever the folder of temporary files is: Ray cannot start with a longer path."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="") as above:
        folder = Path(above, "x" * max(1, length - len(above) - 1))
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        with open_ray(None, 1):
            pass
    assert len(os.path.join(calls[0]["_temp_dir"], _SOCKET)) <= _LONGEST


@pytest.mark.parametrize(
    "error", [Exception("The node timed out. It may be overloaded."), OSError("too long"), RuntimeError()]
)
def test_ray_that_does_not_start_is_no_bug(
    error: Exception, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray raises errors of all kinds, on a busy machine for example."""

    def init(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "init", init)
    said = r"--runner ray: Ray cannot be started \(.*\); use --runner local"
    with pytest.raises(UsageError, match=said), open_ray(None, 1):
        pass
