"""Define the interface of an engine, which onnxruntime and torch implement."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import CheckpointError

if TYPE_CHECKING:
    from tier_cli.model.checkpoint import Checkpoint
    from tier_cli.model.tokens import TextTokens

Array = NDArray[np.float32]
ENGINES = ("auto", "onnx", "torch")
DEVICES = ("auto", "cpu", "cuda", "mps")


class Engine(Protocol):
    """An opened model. Images are float32 (N, 3, S, S), prepared by `Preprocessing`.

    Attributes
    ----------
    name
        ``onnx`` or ``torch``.
    device
        Device that computes, such as ``cpu`` or ``cuda``.
    """

    name: str
    device: str

    def encode_images(self, pixels: Array) -> Array:
        """Return global image embeddings (N, D), not L2-normalised."""
        ...

    def patches(self, pixels: Array) -> tuple[Array, tuple[int, int]]:
        """Return patch embeddings (N, P, D), not L2-normalised, and their grid (h, w), P = h * w.

        Raises `CheckpointError` where the image tower has no grid of patches.
        """
        ...

    def features(self, pixels: Array) -> tuple[Array, Array, tuple[int, int]]:
        """Return the results of `encode_images` and `patches` in one pass: (N, D), (N, P, D) and the grid."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Array:
        """Return unit text embeddings (n, D)."""
        ...

    def project_texts(self, texts: Sequence[str]) -> Array:
        """Return text embeddings (n, D), not L2-normalised."""
        ...

    def embed_tokens(self, texts: Sequence[str]) -> list[TextTokens]:
        """Return the tokens of each text with their embeddings."""
        ...


def no_patches(checkpoint: Checkpoint) -> CheckpointError:
    """Return the error for an image tower that has no patches."""
    return CheckpointError(
        "its image tower has no grid of patches: it can classify, but not localise or train TIER",
        where=str(checkpoint.path),
        remedy="choose a checkpoint with patches, such as the bundled one",
    )


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
