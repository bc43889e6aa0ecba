"""What runs in the processes of a Ray cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
from xrays import write_png

from tier_cli.decoding.decode import Decoded, Settings
from tier_cli.decoding.pool import DecodePool
from tier_cli.imaging.discover import Source
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.pipeline.runners.ray_tasks import decode_files


def test_decoders_of_an_earlier_step_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation decodes in several ways: each would leave a process behind on every CPU of a cluster."""
    pools: list[DecodePool] = []
    closed: list[DecodePool] = []
    start, close = DecodePool.__init__, DecodePool.close

    def started(pool: DecodePool, settings: Settings, workers: int) -> None:
        pools.append(pool)
        start(pool, settings, workers)

    def ended(pool: DecodePool) -> None:
        closed.append(pool)
        close(pool)

    monkeypatch.setattr(DecodePool, "__init__", started)
    monkeypatch.setattr(DecodePool, "close", ended)
    source = Source(str(write_png(tmp_path / "a.png", 1)))
    for size in (32, 32, 48):
        settings = Settings.of(ReadOptions(), Preprocessing(crop=size))
        ((_, outcome),) = decode_files([source], settings, "")
        assert isinstance(outcome, Decoded)
    assert (len(pools), closed) == (2, pools[:1])
    close(pools[1])
