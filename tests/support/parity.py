"""Compare a converted checkpoint with its original model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tier_cli.imaging.preprocess import prepare
from tier_cli.imaging.radiograph import Radiograph
from tier_cli.model.checkpoint import IMAGE_GRAPH, Checkpoint
from tier_cli.model.engine import Engine
from tier_cli.model.finding_vectors import finding_vectors
from tier_cli.model.open_engine import open_engine
from tier_cli.model.tokens import TextTokenizer
from tier_cli.scoring.score import rule_of, score

TOLERANCE = 1e-4
TEXTS = ("Pleural effusion.", "no pleural effusion", "The lungs are clear; no pneumothorax!", "cardiomegaly")
Array = NDArray[np.float32]
Read = Callable[[str], list[Radiograph]]


def engines(checkpoint: Checkpoint) -> list[Engine]:
    """Return both engines, or torch alone if there are no graphs (fixture `without_graphs`)."""
    names = ("onnx", "torch") if (checkpoint.path / IMAGE_GRAPH).is_file() else ("torch",)
    return [open_engine(checkpoint, name, "cpu", threads=1) for name in names]


def prepared(checkpoint: Checkpoint, radiographs: Sequence[Radiograph]) -> Array:
    """Return the radiographs as the checkpoint expects them, (N, 3, S, S)."""
    return np.stack([prepare(r.pixels, checkpoint.preprocessing).pixels for r in radiographs])


def as_8_bit(radiograph: Radiograph) -> Image.Image:
    """Return the radiograph as a program reads it from an 8-bit file."""
    return Image.fromarray((radiograph.pixels * 255 + 1e-3).astype(np.uint8))


def same_images(
    checkpoint: Checkpoint,
    pixels: Array,
    pooled: torch.Tensor,
    patches: torch.Tensor,
    tolerance: float = TOLERANCE,
) -> None:
    """Check that both engines give the original's embeddings of images, and of patches to `TOLERANCE`."""
    for engine in engines(checkpoint):
        np.testing.assert_allclose(engine.encode_images(pixels), pooled.numpy(), atol=tolerance)
        ours, (h, w) = engine.patches(pixels)
        assert h * w == ours.shape[1] > 1
        np.testing.assert_allclose(ours, patches.numpy(), atol=TOLERANCE)


def same_texts(
    checkpoint: Checkpoint,
    encode: Callable[[Sequence[str]], tuple[torch.Tensor, torch.Tensor]],
    texts: Sequence[str] = TEXTS,
    tolerance: float = TOLERANCE,
) -> None:
    """Check that both engines give the original's text embeddings, and torch its token embeddings."""
    from tier_cli.model.modeling import TierModel

    pooled, tokens = encode(texts)
    unit = torch.nn.functional.normalize(pooled, dim=-1).numpy()
    for engine in engines(checkpoint):
        np.testing.assert_allclose(engine.project_texts(texts), pooled.numpy(), atol=tolerance)
        np.testing.assert_allclose(engine.embed_texts(texts), unit, atol=tolerance)
    ids, mask = (torch.from_numpy(a) for a in TextTokenizer.of(checkpoint.path, checkpoint.config)(texts))
    with torch.no_grad():
        ours = TierModel.from_pretrained(checkpoint.path).encode_texts(ids, mask).tokens
    valid = mask.bool()
    theirs = tokens[:, : ids.shape[1]]
    np.testing.assert_allclose(ours[valid].numpy(), theirs[valid].numpy(), atol=tolerance)


def our_scores(checkpoint: Checkpoint, pixels: Array) -> list[NDArray[np.float64]]:
    """Return the scores (N, F) of the checkpoint's own findings, from each engine."""
    found = []
    for engine in engines(checkpoint):
        vectors = finding_vectors(checkpoint, checkpoint.findings, partial(_same, engine))
        found.append(score(engine.encode_images(pixels), vectors, rule_of(checkpoint)))
    return found


def _same(engine: Engine) -> Engine:
    return engine


def save(state: dict[str, torch.Tensor], path: Path) -> Path:
    """Write a state dict with `torch.save`."""
    torch.save(state, path)
    return path
