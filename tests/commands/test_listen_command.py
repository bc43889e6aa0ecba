"""`tier listen` in a process of its own: options, signals, kills."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dcmtk import send
from nodes import wait_for
from xrays import write_dicom

Start = Callable[..., "subprocess.Popen[bytes]"]
Tier = Callable[..., tuple[int, str, str]]
# Needs no torch, which takes long to import.
MODEL = ("--model", "tier-small", "--device", "cpu")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nobody may send images; give --allow AE@HOST for each sender, or --allow-any"),
        (("--allow", "A@127.0.0.1", "--allow-any"), "contradict each other"),
        (("--allow", "PACS"), "give AE@host"),
        (("--allow-any", "--ae-title", "A_TITLE_OF_17_CHARS"), "is no AE title"),
        (("--allow-any", "--send-to", "ARCHIVE"), "give AE@host:port"),
        (("--allow-any", "--stow", "https://pacs.example"), "is no DICOMweb address"),
        (("--allow-any", "--tls-cert", "c.pem"), "--tls-key"),
        (("--allow-any", "--send-tls"), "--tls-cert"),
        (("--allow-any", "--max-disk", "10"), "--max-disk"),
    ],
)
def test_wrong_options_end_before_anything_listens(
    tier: Tier, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    code, out, err = tier("listen", "--output", tmp_path / "out", *options)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())
    assert not (tmp_path / "out").exists()


def test_it_listens_to_this_machine_unless_told_otherwise() -> None:
    """A forgotten option must not open a hospital's images to a network."""
    import inspect

    from tier_cli.commands.listen import listen

    assert inspect.signature(listen).parameters["host"].default == "127.0.0.1"


class Service:
    """The command, started and started again on one folder."""

    def __init__(self, start: Start, folder: Path):
        self._start, self.folder, self.port = start, folder, free_port()
        self.stderr = folder / "stderr.txt"

    def run(self, timeout: object) -> subprocess.Popen[bytes]:
        before = self.events("listening")
        with self.stderr.open("ab") as stderr:
            options = ("--port", self.port, "--allow", "SENDER@127.0.0.1", "--output", self.folder / "out")
            process = self._start(
                "listen", *options, *MODEL, "--study-timeout", timeout, "--workers", 0, stderr=stderr
            )
        wait_for(lambda: self.events("listening") > before or process.poll() is not None, 300)
        assert process.poll() is None, self.stderr.read_text()
        return process

    def events(self, name: str) -> int:
        return self.stderr.read_text().count(f'"event": "{name}"') if self.stderr.exists() else 0

    @property
    def results(self) -> list[dict[str, Any]]:
        files = sorted((self.folder / "out" / "studies").glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_a_kill_loses_nothing_and_a_signal_ends_in_order(start: Start, tmp_path: Path) -> None:
    """What was answered with success is scored, whatever happens to the process afterwards."""
    (tmp_path / "in").mkdir()
    images = [write_dicom(tmp_path / "in" / f"{n}.dcm", n, f"1.2.{n // 2}") for n in range(4)]
    service = Service(start, tmp_path)
    first = service.run(10_000)
    assert send(service.port, images) == 0
    first.kill()
    first.communicate()
    assert service.results == []
    second = service.run(0)
    wait_for(lambda: len(service.results) == 4, 300)
    second.send_signal(signal.SIGTERM)
    out, _ = second.communicate(timeout=300)
    assert (second.returncode, out) == (143, b"")
    assert service.events("stopped") == 1
    assert {line["error"] for line in service.results} == {None}
    # Every line of stderr is for a program.
    assert all(json.loads(line)["event"] for line in service.stderr.read_text().splitlines())
    third = service.run(0)
    assert send(service.port, images) == 0
    third.send_signal(signal.SIGINT)
    third.communicate(timeout=300)
    assert third.returncode == 130
    assert service.events("duplicate") == 4
    assert len(service.results) == 4


def test_a_port_in_use_is_one_line(start: Start, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start("listen", "--port", port, "--allow-any", "--output", tmp_path / "out", *MODEL)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert err.decode().startswith(f"Error: --port {port}: cannot listen")
    assert err.count(b"\n") == 1


@pytest.mark.slow
def test_disturbed_senders_and_receivers_lose_and_double_nothing(tmp_path: Path) -> None:
    """1,000 images, kills, strangers and full disks: the figures of docs/pacs.md."""
    root = Path(__file__).parents[2]
    command = [sys.executable, str(root / "benchmarks" / "listen.py"), "--folder", str(tmp_path / "listen")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["fault"] == ""
    assert result["receiver_killed"] == 2
    assert result["megabytes_at_the_end"] < 1.1 * result["megabytes_in_the_middle"]
