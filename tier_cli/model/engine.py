"""The interface of an engine: what onnxruntime and torch both compute."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import CheckpointError

if TYPE_CHECKING:
    from tier_cli.model.checkpoint import Checkpoint

Array = NDArray[np.float32]
ENGINES = ("auto", "onnx", "torch")
DEVICES = ("auto", "cpu", "cuda", "mps")


class Engine(Protocol):
    """An opened model. Images are float32 (N, 3, S, S), as `Preprocessing` prepares them.

    Attributes
    ----------
    name
        ``onnx`` or ``torch``.
    device
        Where it computes, such as ``cpu`` or ``cuda``.
    """

    name: str
    device: str

    def encode_images(self, pixels: Array) -> Array:
        """Global image embeddings (N, D), not L2-normalised."""
        ...

    def patches(self, pixels: Array) -> tuple[Array, tuple[int, int]]:
        """Patch embeddings (N, P, D), not L2-normalised, and their grid (h, w), P = h * w.

        Raises `CheckpointError` where the image tower has no grid of patches.
        """
        ...

    def features(self, pixels: Array) -> tuple[Array, Array, tuple[int, int]]:
        """Give what `encode_images` and `patches` give, (N, D), (N, P, D) and the grid, in one pass."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Array:
        """Unit text embeddings (n, D)."""
        ...

    def project_texts(self, texts: Sequence[str]) -> Array:
        """Text embeddings (n, D), not L2-normalised."""
        ...


def no_patches(checkpoint: Checkpoint) -> CheckpointError:
    """The error of asking for patches where there are none."""
    return CheckpointError(
        "its image tower has no grid of patches: it classifies, but shows no places and trains no TIER",
        where=str(checkpoint.path),
        remedy="choose a checkpoint with patches, such as the bundled one",
    )


def usable_cpus() -> int:
    """The number of CPUs this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
