"""A checkpoint, and listeners that end with the test."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nodes import Listen, Node

from tier_cli.api.model import open_models
from tier_cli.pacs.listener import Listener
from tier_cli.pacs.peers import Peers
from tier_cli.pacs.receiver import ReceiverSettings
from tier_cli.pipeline.scoring_job import ScoringJob
from tier_cli.pipeline.stream import stream_options

ROOM = 100_000_000


@pytest.fixture(scope="session")
def model() -> str:
    """The bundled checkpoint: it needs no torch, whose import takes longer than these tests."""
    return "tier-small"


@pytest.fixture(scope="session")
def job(model: str) -> ScoringJob:
    return open_models(model, None, "auto", "cpu")


@pytest.fixture
def listen(job: ScoringJob, tmp_path: Path) -> Iterator[Listen]:
    """Start listeners: options of the receiver begin with ``r_``."""
    nodes: list[Node] = []

    def start(root: Path | None = None, peers: Peers | None = None, **options: Any) -> Node:
        folder, said = root or tmp_path / "out", io.StringIO()
        given = {name[2:]: value for name, value in options.items() if name.startswith("r_")}
        receiver = ReceiverSettings(
            "TIER", "127.0.0.1", 0, peers or Peers.parse(["SENDER@127.0.0.1"]), **given
        )
        own: dict[str, Any] = {"most_disk": ROOM, "quiet": 0.05, "pause": 0.05}
        own |= {name: value for name, value in options.items() if not name.startswith("r_")}
        stream = own.pop("stream", stream_options(views="all"))
        listener = Listener(folder, job, stream, receiver, messages=said, **own)
        node = Node(listener, listener.start(), folder, said)
        nodes.append(node)
        return node

    yield start
    for node in nodes:
        node.listener.stop()
