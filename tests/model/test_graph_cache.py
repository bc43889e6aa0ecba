"""The optimised graph in the cache gives the same bits, and anything wrong with it is repaired silently."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import numpy as np
import pytest
from tiny import SIZE

from tier_cli.model import graph_cache
from tier_cli.model.checkpoint import Checkpoint
from tier_cli.model.onnx_engine import OnnxEngine

PIXELS = np.random.default_rng(0).normal(size=(3, 3, SIZE, SIZE)).astype(np.float32)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIER_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "graphs"


def embed(checkpoint: Checkpoint) -> np.ndarray:
    return OnnxEngine(checkpoint, threads=1).encode_images(PIXELS)


def only(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_the_cached_graph_gives_the_same_bits(tiny: Checkpoint, cache: Path) -> None:
    first = embed(tiny)
    written = only(cache).stat().st_mtime_ns
    np.testing.assert_array_equal(embed(tiny), first)
    assert only(cache).stat().st_mtime_ns == written, "it was read, not written again"
    assert stat.S_IMODE(only(cache).stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", ["flipped", "short", "empty", "foreign"])
def test_a_broken_file_is_replaced(tiny: Checkpoint, cache: Path, damage: str) -> None:
    first = embed(tiny)
    file = only(cache)
    good = file.read_bytes()
    middle = len(good) // 2
    file.write_bytes({
        "flipped": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
        "short": good[:-1],
        "empty": b"",
        # As it was written, but not a graph that this version opens.
        "foreign": hashlib.sha256(b"other").digest() + b"other",
    }[damage])  # fmt: skip
    np.testing.assert_array_equal(embed(tiny), first)
    assert graph_cache._read(only(cache)) is not None
    assert only(cache).stat().st_size > len(good) // 2


def test_another_version_or_processor_does_not_read_it(
    tiny: Checkpoint, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(tiny)
    monkeypatch.setattr("onnxruntime.__version__", "0.0.1")
    embed(tiny)
    assert len(list(cache.iterdir())) == 2
    monkeypatch.setattr(graph_cache, "_features", lambda: "flags: none")
    embed(tiny)
    assert len(list(cache.iterdir())) == 3


def test_old_graphs_are_deleted(tiny: Checkpoint, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(graph_cache._KEPT + 2):
        monkeypatch.setattr("onnxruntime.__version__", f"0.0.{number}")
        embed(tiny)
    assert len(list(cache.iterdir())) == graph_cache._KEPT


@pytest.mark.parametrize("why", ["no cache", "large", "unknown processor", "blocked"])
def test_without_a_cache_it_works_as_before(
    tiny: Checkpoint, cache: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    expected = embed(tiny)
    only(cache).unlink()
    if why == "no cache":
        monkeypatch.setattr(graph_cache, "cache_dir", lambda: None)
    elif why == "large":
        monkeypatch.setattr(graph_cache, "_MOST_BYTES", 1)
    elif why == "unknown processor":
        monkeypatch.setattr(graph_cache, "_features", lambda: None)
    else:
        cache.rmdir()
        cache.write_bytes(b"a file where the folder should be")
    np.testing.assert_array_equal(embed(tiny), expected)
    assert cache.is_file() or not list(cache.iterdir())
