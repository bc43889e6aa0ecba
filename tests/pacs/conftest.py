"""A checkpoint, and listeners that end with the test."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_checkpoint

from tier_cli.api.model import open_models
from tier_cli.pacs.listener import Listener
from tier_cli.pacs.peers import Peers
from tier_cli.pacs.receiver import ReceiverSettings
from tier_cli.pipeline.scoring_job import ScoringJob
from tier_cli.pipeline.stream import stream_options

ROOM = 100_000_000


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until something is so; the limit is for a machine that is busy with other tests."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@dataclass
class Node:
    """A listener that runs in this process."""

    listener: Listener
    port: int
    root: Path
    said: io.StringIO

    def count(self, name: str) -> int:
        return self.listener.health.counted(name)

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = map(json.loads, self.said.getvalue().splitlines())
        return [line for line in lines if line["event"] == name]

    def wait_for(self, name: str, count: int) -> None:
        wait_for(lambda: self.count(name) >= count)

    @property
    def results(self) -> list[dict[str, Any]]:
        files = sorted((self.root / "studies").glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="session")
def job(model: str) -> ScoringJob:
    return open_models(model, None, "auto", "cpu")


Listen = Callable[..., Node]


@pytest.fixture
def listen(job: ScoringJob, tmp_path: Path) -> Iterator[Listen]:
    """Start listeners: options of the receiver begin with ``r_``."""
    nodes: list[Node] = []

    def start(root: Path | None = None, peers: Peers | None = None, **options: Any) -> Node:
        folder, said = root or tmp_path / "out", io.StringIO()
        given = {name[2:]: value for name, value in options.items() if name.startswith("r_")}
        receiver = ReceiverSettings("TIER", "127.0.0.1", 0, peers or Peers.parse(["SENDER@127.0.0.1"]), **given)
        own = {"most_disk": ROOM, "quiet": 0.05, "pause": 0.05}
        own |= {name: value for name, value in options.items() if not name.startswith("r_")}
        stream = own.pop("stream", stream_options(views="all"))
        listener = Listener(folder, job, stream, receiver, messages=said, **own)  # type: ignore[arg-type]
        node = Node(listener, listener.start(), folder, said)
        nodes.append(node)
        return node

    yield start
    for node in nodes:
        node.listener.stop()
