"""Listeners that run in the process of a test."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tier_cli.pacs.listener import Listener


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


Listen = Callable[..., Node]
