"""Start Orthanc, a real DICOM server, on loopback ports for the length of a test."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicom_checks import require


@dataclass(frozen=True)
class Orthanc:
    """A running server.

    Parameters
    ----------
    http, dicom
        The ports of its REST interface and of its C-STORE SCP.
    """

    http: int
    dicom: int

    def get(self, path: str) -> bytes:
        """Return the answer to a GET of a path, such as ``/instances``."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=30) as answer:
            content: bytes = answer.read()
        return content

    def store(self, path: Path) -> dict[str, Any]:
        """Store an object; return what the server says of it."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}/instances", path.read_bytes(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            said: dict[str, Any] = json.load(answer)
        return said


@contextmanager
def orthanc(folder: Path, **settings: Any) -> Iterator[Orthanc]:
    """Start a server whose storage lies in `folder`, and stop it; skip the test where it is not installed."""
    require("Orthanc")
    server = Orthanc(_free_port(), _free_port())
    configuration = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "HttpPort": server.http,
        "DicomPort": server.dicom,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "OverwriteInstances": True,
        **settings,
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", folder / "orthanc.json"], stdout=log, stderr=log)
        try:
            _wait(server, process, folder / "orthanc.log")
            yield server
        finally:
            process.terminate()
            process.wait(30)


def _wait(server: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            server.get("/system")
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text(errors="replace")[-2000:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
