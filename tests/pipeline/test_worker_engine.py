"""The engine of a cluster travels as a description, and is opened from the same checkpoint."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from tiny import SIZE, tiny_checkpoint

from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.onnx_engine import OnnxEngine
from tier_cli.pipeline.runners.worker_engine import WorkerEngine


def test_it_computes_what_the_engine_does(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(tiny_checkpoint(tmp_path / "tiny"))
    pixels = np.random.default_rng(0).normal(size=(2, 3, SIZE, SIZE)).astype(np.float32)
    here, there = OnnxEngine(checkpoint), WorkerEngine(checkpoint, "onnx", "cpu")
    np.testing.assert_array_equal(there.embed_texts(["effusion"]), here.embed_texts(["effusion"]))
    sent = pickle.loads(pickle.dumps(there))  # noqa: S301 - Ray does the same
    assert len(pickle.dumps(there)) < 20_000
    np.testing.assert_array_equal(sent.encode_images(pixels), here.encode_images(pixels))
    assert (sent.name, sent.device) == ("onnx", "cpu")


def test_another_checkpoint_at_the_path_is_refused(tmp_path: Path) -> None:
    """A machine with an older copy of the folder would give other scores for its share of the images."""
    folder = tiny_checkpoint(tmp_path / "tiny")
    sent = WorkerEngine(open_checkpoint(folder), "onnx", "cpu")
    tiny_checkpoint(folder, seed=1)
    with pytest.raises(CheckpointError, match="has no such checkpoint, or another one"):
        sent.encode_images(np.zeros((1, 3, SIZE, SIZE), np.float32))
