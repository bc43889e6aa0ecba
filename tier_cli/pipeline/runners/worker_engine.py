"""Stand for an engine that the processes of a cluster open, each for itself."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.engine import Array, Engine, usable_cpus
from tier_cli.model.open_engine import open_engine

if TYPE_CHECKING:
    from tier_cli.model.checkpoint import Checkpoint
    from tier_cli.model.tokens import TextTokens


class WorkerEngine:
    """Engine of which only the description travels; it is opened at first use, where it is used.

    Images are for the workers. Texts are few: the machine that starts the run embeds them on its CPU.

    Parameters
    ----------
    checkpoint
        The checkpoint as this machine has it. The others must have the same at the same path, or by its name.
    name, device
        The engine, and the device of the workers.
    """

    def __init__(self, checkpoint: Checkpoint, name: str, device: str):
        self.name, self.device = name, device
        self._checkpoint = checkpoint

    def __getstate__(self) -> dict[str, Any]:
        opened = ("_opened", "_for_texts")
        return {name: value for name, value in vars(self).items() if name not in opened}

    def encode_images(self, pixels: Array) -> Array:
        """Return global image embeddings (N, D), not L2-normalised."""
        return self._opened.encode_images(pixels)

    def patches(self, pixels: Array) -> tuple[Array, tuple[int, int]]:
        """Return patch embeddings (N, P, D), not L2-normalised, and their grid (h, w)."""
        return self._opened.patches(pixels)

    def features(self, pixels: Array) -> tuple[Array, Array, tuple[int, int]]:
        """Return global (N, D) and patch embeddings (N, P, D), not L2-normalised, and the grid (h, w)."""
        return self._opened.features(pixels)

    def embed_texts(self, texts: Sequence[str]) -> Array:
        """Return unit text embeddings (n, D)."""
        return self._for_texts.embed_texts(texts)

    def project_texts(self, texts: Sequence[str]) -> Array:
        """Return text embeddings (n, D), not L2-normalised."""
        return self._for_texts.project_texts(texts)

    def embed_tokens(self, texts: Sequence[str]) -> list[TextTokens]:
        """Return the tokens of each text with their embeddings."""
        return self._for_texts.embed_tokens(texts)

    @cached_property
    def _opened(self) -> Engine:
        # Ray lets a process without CPUs of its own use one thread, unless it is told.
        threads = usable_cpus() if self.device == "cpu" else None
        return open_engine(self._same_checkpoint(), self.name, self.device, threads)

    @cached_property
    def _for_texts(self) -> Engine:
        return open_engine(self._checkpoint, self.name if self.device == "cpu" else "auto", "cpu")

    def _same_checkpoint(self) -> Checkpoint:
        wanted = self._checkpoint
        for name in (wanted.path, wanted.name):
            try:
                found = open_checkpoint(name)
            except CheckpointError:
                continue
            if found.hashes == wanted.hashes:
                return found
        raise CheckpointError(
            f"the machine {platform.node()} has no such checkpoint, or another one of this name",
            where=str(wanted.path),
            remedy="put the folder where all machines of the cluster see it, and name that path with --model",
        )
