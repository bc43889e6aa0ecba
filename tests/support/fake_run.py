"""Fake a run without a real model: the scores reveal which pixels were read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.findings.schema import Finding, FindingSet
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.model.tokens import TextTokens

SIZE = 32
FINDINGS = FindingSet(
    "two", tuple(Finding(name, name, (), (f"{name}.",), (f"no {name}.",)) for name in ("bright", "dark"))
)


@dataclass
class FakeEngine:
    """Embed an image as (mean, 1) and record the batch sizes."""

    name: str = "fake"
    device: str = "cpu"
    batches: list[int] = field(default_factory=list)

    def encode_images(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed images (N, 3, S, S) as (N, 2)."""
        self.batches.append(len(pixels))
        means = pixels.mean(axis=(1, 2, 3))
        return np.stack([means, np.ones_like(means)], axis=1)

    def patches(self, pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Refuse: it has no patches."""
        raise NotImplementedError

    def features(
        self, pixels: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[int, int]]:
        """Refuse: it has no patches."""
        raise NotImplementedError

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Refuse: it reads no texts."""
        raise NotImplementedError

    def project_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Refuse: it reads no texts."""
        raise NotImplementedError

    def embed_tokens(self, texts: Sequence[str]) -> list[TextTokens]:
        """Raise: no test of a run needs tokens."""
        raise NotImplementedError


def fake_checkpoint(**changes: Any) -> Any:
    """Return an object with everything a run reads from a checkpoint."""
    known: dict[str, Any] = {
        "name": "fake",
        "preprocessing": Preprocessing(resize_short=None, crop=SIZE),
        "hashes": {"weights": "a" * 64, "preprocessing": "b" * 64},
        "calibration": None,
        "scoring": "cosine_difference",
    }
    return SimpleNamespace(**(known | changes))
