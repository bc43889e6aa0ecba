# ruff: noqa: TID253
"""Features of a frozen start of the image tower: computed once for some augmented copies of each image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tier_cli.aside import written_aside
from tier_cli.training.images import AugmentedImages, allocate
from tier_cli.training.seeds import VIEW, derive

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from tier_cli.training.watch import Watcher

    Rows = NDArray[np.int64]

# Small enough for the activations to stay near the cache: 1.7 times as fast as 64 on CPU.
_CHUNK = 16


class FrozenFeatures:
    """One of the views of each image at every draw, as `write_features` left them.

    Parameters
    ----------
    file
        A numpy file (rows, views, C, h, w) in fp16.
    seed
        Of the choice among the views, beside the place of each draw.
    """

    slow = False

    def __init__(self, file: Path, seed: int):
        self._file, self._seed = file, seed
        self._features: NDArray[np.float16] | None = None

    def batch(self, rows: Rows, places: Rows) -> tuple[Tensor, Rows, list[tuple[int, str]]]:
        """As `AugmentedImages.batch`; every row is there."""
        if self._features is None:
            self._features = np.load(self._file, mmap_mode="r")
        views = self._features.shape[1]
        view = np.array([derive(self._seed, VIEW, int(place)) % views for place in places])
        features = torch.from_numpy(self._features[rows, view]).float()
        return features.contiguous(memory_format=torch.channels_last), rows, []

    def __getstate__(self) -> dict[str, object]:
        return {"_file": self._file, "_seed": self._seed, "_features": None}


def write_features(
    source: AugmentedImages,
    rows: int,
    start: nn.Module,
    views: int,
    file: Path,
    device: torch.device,
    progress: Watcher,
) -> None:
    """Write what `start`, the frozen part of the tower, makes of `views` copies of each image.

    Raises
    ------
    OSError
        The disk is too small.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    start = start.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    features: Any = None
    # An interrupted run leaves nothing that looks like features, and runs that share the folder may compute
    # the same features at the same time.
    with written_aside(file) as partial, torch.inference_mode():
        for view in range(views):
            for first in range(0, rows, _CHUNK):
                chunk = np.arange(first, min(first + _CHUNK, rows))
                images = source.batch(chunk, chunk + view * rows)[0].to(device)
                made = start(images.contiguous(memory_format=torch.channels_last)).cpu().numpy()
                if features is None:
                    allocate(partial, (rows, views, *made.shape[1:]), np.dtype(np.float16))
                    features = np.lib.format.open_memmap(partial, mode="r+")
                features[chunk, view] = made.astype(np.float16)
                progress("computing frozen features", view * rows + int(chunk[-1]) + 1, views * rows)
        if features is not None:
            features.flush()
