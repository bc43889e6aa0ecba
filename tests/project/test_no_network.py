"""Ordinary commands open no connection, and onnxruntime sends no telemetry."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
# Python runs a module of this name when it starts, in decoding processes too: before `tier`, so it sees the
# environment at the moment onnxruntime is imported. Set later, the variable would come too late.
WATCHDOG = """
import os, sys

def watch(event, arguments):
    if event == "import" and arguments[0] == "onnxruntime":
        with open(os.environ["SWITCH"], "a") as file:
            file.write(os.environ.get("ORT_DISABLE_TELEMETRY", "on") + ",")
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        with open(os.environ["CONNECTIONS"], "a") as file:
            file.write(f"{event} {arguments}\\n")

sys.addaudithook(watch)
open(os.environ["CONNECTIONS"] + ".started", "w").close()
"""


@pytest.mark.parametrize(
    ("command", "computes"),
    [
        ("classify examples --output scores.csv", True),
        ("eval --data examples/manifest.csv --output metrics.json --report report.html", True),
        ("embed examples --output embeddings.npz", True),
        ("model list", False),
        ("model verify tier-small", True),
        ("doctor", False),
    ],
)
def test_commands_open_no_connection_and_send_no_telemetry(
    tmp_path: Path, command: str, computes: bool
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WATCHDOG)
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    paths = os.pathsep.join([str(tmp_path / "site"), *filter(os.path.isabs, sys.path)])
    connections, switch = tmp_path / "connections", tmp_path / "switch"
    files = {"CONNECTIONS": str(connections), "SWITCH": str(switch)}
    environment = {**os.environ, **files, "PYTHONPATH": paths, "ORT_DISABLE_TELEMETRY": "0"}
    code = "import sys; from tier_cli.app import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()], cwd=tmp_path, env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert Path(f"{connections}.started").exists()
    assert not connections.exists(), connections.read_text()
    if computes or switch.exists():
        assert set(switch.read_text().strip(",").split(",")) == {"1"}
