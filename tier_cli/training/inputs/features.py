"""Features of a frozen start of the image tower: computed once for some augmented copies of each image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tier_cli.files.atomic import whole_file
from tier_cli.model.checkpoint import read_json, write_json
from tier_cli.training.inputs.images import AugmentedImages, allocate
from tier_cli.training.progress import Stage
from tier_cli.training.seeds import VIEW, derive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from tier_cli.training.progress import TrainingProgress

    Rows = NDArray[np.int64]

# Small enough for the activations to stay near the cache: 1.7 times as fast as 64 on CPU.
_CHUNK = 16


class FrozenFeatures:
    """One of the views of each image at every draw, as `write_features` left them.

    Parameters
    ----------
    file
        A numpy file (N, views, C, h, w) in fp16.
    rows
        Which of its rows are the manifest's.
    seed
        Of the choice among the views, beside the place of each draw.
    """

    slow = False

    def __init__(self, file: Path, rows: Rows, seed: int):
        self._file, self._rows, self._seed = file, rows, seed
        self._features: NDArray[np.float16] | None = None

    def batch(self, rows: Rows, places: Rows) -> tuple[Tensor, Rows, list[tuple[int, str]]]:
        """As `AugmentedImages.batch`; every row is there."""
        if self._features is None:
            self._features = np.load(self._file, mmap_mode="r")
        views = self._features.shape[1]
        view = np.array([derive(self._seed, VIEW, int(place)) % views for place in places])
        features = torch.from_numpy(self._features[self._rows[rows], view]).float()
        return features.contiguous(memory_format=torch.channels_last), rows, []

    def __getstate__(self) -> dict[str, object]:
        return {"_file": self._file, "_rows": self._rows, "_seed": self._seed, "_features": None}


def write_features(
    source: AugmentedImages,
    rows: int,
    start: nn.Module,
    views: int,
    file: Path,
    device: torch.device,
    progress: TrainingProgress,
    check: Callable[[Mapping[int, str]], None],
) -> None:
    """Write what `start`, the frozen part of the tower, makes of `views` copies of each image.

    `source` leaves out what it cannot read: such rows of the file stay zeros, see `unread`. `check` is given
    them, by row, whenever there are more, and may refuse to go on.

    Raises
    ------
    OSError
        The disk is too small.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    start = start.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    features: Any = None
    bad: dict[int, str] = {}
    # An interrupted run leaves nothing that looks like features, and runs that share the folder may compute
    # the same features at the same time.
    with whole_file(file) as partial, torch.inference_mode():
        for view, end, images, taken in _copies(source, rows, views, bad, check):
            if len(taken):
                made = start(images.to(device).contiguous(memory_format=torch.channels_last))
                if features is None:
                    allocate(partial, (rows, views, *made.shape[1:]), np.dtype(np.float16))
                    features = np.lib.format.open_memmap(partial, mode="r+")
                features[taken, view] = made.cpu().numpy().astype(np.float16)
            progress(Stage.COMPUTING_FEATURES, view * rows + end, views * rows)
        if features is not None:
            features.flush()
        # First: features that are there are taken for whole.
        _keep_unread(file, bad)


def _copies(
    source: AugmentedImages,
    rows: int,
    views: int,
    bad: dict[int, str],
    check: Callable[[Mapping[int, str]], None],
) -> Iterator[tuple[int, int, Tensor, Rows]]:
    """Chunks of copies: the view, where the chunk ends, inputs and their rows; other rows go to `bad`."""
    for view in range(views):
        for first in range(0, rows, _CHUNK):
            end = min(first + _CHUNK, rows)
            chunk = np.array([row for row in range(first, end) if row not in bad], dtype=np.int64)
            images, taken, missed = source.batch(chunk, chunk + view * rows)
            if missed:
                bad.update(missed)
                check(bad)
            yield view, end, images, taken


def unread(file: Path) -> dict[int, str]:
    """The rows of a file of features whose images could not be read, and why."""
    beside = _unread_file(file)
    return {int(row): str(why) for row, why in read_json(beside).items()} if beside.is_file() else {}


def _keep_unread(file: Path, bad: Mapping[int, str]) -> None:
    beside = _unread_file(file)
    if not bad:
        beside.unlink(missing_ok=True)
        return
    write_json(beside, {str(row): why for row, why in sorted(bad.items())})


def _unread_file(file: Path) -> Path:
    return file.with_suffix(".unread.json")
