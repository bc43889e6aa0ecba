"""Ordinary commands open no connection."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
# Python runs a module of this name when it starts, in decoding processes too.
WATCHDOG = """
import os, sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        with open(os.environ["CONNECTIONS"], "a") as file:
            file.write(f"{event} {arguments}\\n")

sys.addaudithook(watch)
open(os.environ["CONNECTIONS"] + ".started", "w").close()
"""


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WATCHDOG)
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    paths = os.pathsep.join([str(tmp_path / "site"), *filter(os.path.isabs, sys.path)])
    connections = tmp_path / "connections"
    return connections, {**os.environ, "PYTHONPATH": paths, "CONNECTIONS": str(connections)}


@pytest.mark.parametrize(
    "command",
    [
        "classify examples --output scores.csv",
        "eval --data examples/manifest.csv --output metrics.json --report report.html",
        "embed examples --output embeddings.npz",
        "model list",
        "model verify tier-small",
        "doctor",
    ],
)
def test_commands_open_no_connection(run: tuple[Path, dict[str, str]], tmp_path: Path, command: str) -> None:
    connections, environment = run
    code = "import sys; from tier_cli.app import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()], cwd=tmp_path, env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert Path(f"{connections}.started").exists()
    assert not connections.exists(), connections.read_text()


# Python starts this before `tier`, so it sees the environment at the moment onnxruntime is imported.
IMPORT_WATCH = """
import os, sys

def watch(event, arguments):
    if event == "import" and arguments[0] == "onnxruntime":
        with open(os.environ["SWITCH"], "a") as file:
            file.write(os.environ.get("ORT_DISABLE_TELEMETRY", "on") + ",")

sys.addaudithook(watch)
"""


@pytest.mark.parametrize("command", ["classify examples/07-healthy.png", "embed examples --output e.npz"])
def test_onnxruntime_telemetry_is_disabled(
    run: tuple[Path, dict[str, str]], tmp_path: Path, command: str
) -> None:
    """Set after the import, the variable would come too late: the library decides when it is loaded."""
    _, environment = run
    (tmp_path / "site" / "sitecustomize.py").write_text(IMPORT_WATCH)
    environment = {**environment, "SWITCH": str(tmp_path / "switch"), "ORT_DISABLE_TELEMETRY": "0"}
    code = "import sys; from tier_cli.app import main; sys.exit(main(sys.argv[1:]))"
    subprocess.run(
        [sys.executable, "-c", code, *command.split()],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
    )
    assert set((tmp_path / "switch").read_text().strip(",").split(",")) == {"1"}
