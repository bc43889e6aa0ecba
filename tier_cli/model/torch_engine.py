"""Encode with torch, the reference engine and the one for accelerators."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from tier_cli.errors import UsageError
from tier_cli.model.engine import no_patches
from tier_cli.model.modeling import TextFeatures, TierModel
from tier_cli.model.tokens import (
    TextTokenizer,
    TextTokens,
    embed_in_batches,
    project_in_batches,
    tokens_in_batches,
)

if TYPE_CHECKING:
    from tier_cli.model.checkpoint import Checkpoint

Array = NDArray[np.float32]


class TorchEngine:
    """Engine that runs a `TierModel` in fp32 on one device.

    Parameters
    ----------
    device
        Name of a torch device.
    threads
        CPU threads for the whole process; torch's default when None.
    """

    name = "torch"

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu", threads: int | None = None):
        self.device = device
        self._checkpoint = checkpoint
        if threads:
            torch.set_num_threads(threads)
        self.model = TierModel.from_pretrained(checkpoint.path).to(device)

    def encode_images(self, pixels: Array) -> Array:
        """Return global image embeddings (N, D), not L2-normalised."""
        return self._images(pixels)[1]

    def patches(self, pixels: Array) -> tuple[Array, tuple[int, int]]:
        """Return patch embeddings (N, P, D), not L2-normalised, and their grid (h, w)."""
        _, patches, grid = self.features(pixels)
        return patches, grid

    def features(self, pixels: Array) -> tuple[Array, Array, tuple[int, int]]:
        """Return global (N, D) and patch embeddings (N, P, D), not L2-normalised, and the grid (h, w)."""
        patches, pooled, grid = self._images(pixels)
        if grid == (0, 0):
            raise no_patches(self._checkpoint)
        return pooled, patches, grid

    def embed_texts(self, texts: Sequence[str]) -> Array:
        """Return unit text embeddings (n, D)."""
        embedded: Array = embed_in_batches(texts, self._encode, self._tokenizer)
        return embedded

    def project_texts(self, texts: Sequence[str]) -> Array:
        """Return text embeddings (n, D), not L2-normalised."""
        projected: Array = project_in_batches(texts, self._encode, self._tokenizer)
        return projected

    def _images(self, pixels: Array) -> tuple[Array, Array, tuple[int, int]]:
        every = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))
        # A CPU computes single images as fast, and then their bits do not depend on the rest of the batch.
        parts = every.chunk(len(every)) if self.device == "cpu" and len(every) else (every,)
        # TF32 would change the third digit of scores; both engines must agree.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            features = [self.model.encode_images(part.to(self.device)) for part in parts]
        patches = np.concatenate([one.patches.cpu().numpy() for one in features])
        return patches, np.concatenate([one.pooled.cpu().numpy() for one in features]), features[0].grid

    def embed_tokens(self, texts: Sequence[str]) -> list[TextTokens]:
        """Return the tokens of each text with their embeddings."""

        def encode(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Any:
            features = self._features(ids, mask)
            return features.tokens.cpu().numpy(), features.pooled.cpu().numpy()

        return tokens_in_batches(texts, encode, self._tokenizer)

    def _encode(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Any:
        return self._features(ids, mask).pooled.cpu().numpy()

    def _features(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> TextFeatures:
        with torch.inference_mode():
            features: TextFeatures = self.model.encode_texts(
                torch.from_numpy(ids).to(self.device), torch.from_numpy(mask).to(self.device)
            )
        return features

    @cached_property
    def _tokenizer(self) -> TextTokenizer:
        return TextTokenizer.of(self._checkpoint.path, self._checkpoint.config)


def pick_device(device: str) -> str:
    """Return the device for ``auto``, or the named device if it is available."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device, True):
        raise UsageError(f"torch cannot use a {device} device", remedy="use --device cpu or auto")
    return device
