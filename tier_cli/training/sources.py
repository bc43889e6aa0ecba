"""Where a run's images come from: a file of squares, the images themselves, or features of frozen blocks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.errors import InputError, ManifestError, TierError
from tier_cli.model.checkpoint import WEIGHTS, canonical_hash, file_hash
from tier_cli.model.engine import usable_cpus
from tier_cli.training.features import FrozenFeatures, write_features
from tier_cli.training.images import AugmentedImages, StoredPixels, StreamedPixels, read_images, store_fits

if TYPE_CHECKING:
    import torch

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.training.distributed import World
    from tier_cli.training.images import Pixels
    from tier_cli.training.loader import ImageSource
    from tier_cli.training.pairs import Pairs
    from tier_cli.training.settings import Running, TrainSettings
    from tier_cli.training.start import TrainInputs
    from tier_cli.training.towers import Encoders
    from tier_cli.training.watch import Watcher

_MOST_WORKERS = 8
# Starting processes takes longer than reading so many images.
_FEW_IMAGES = 200


@dataclass(frozen=True)
class Sources:
    """Makes the sources of a run; files go into `work`, and the first process writes them.

    Parameters
    ----------
    inputs, settings, running
        The run.
    work
        Folder for files that it alone needs.
    world, device, progress
        The processes of the run, where this one computes, and who is told.
    """

    inputs: TrainInputs
    settings: TrainSettings
    running: Running
    work: Path
    world: World
    device: torch.device
    progress: Watcher

    def pixels(self, manifest: Manifest) -> tuple[Pixels, Manifest]:
        """Where the training images come from, and their rows; see `Running.images`."""
        images = self.running.images
        if images == "auto":
            fits = self.world.first_does(
                lambda: store_fits(len(manifest), self.inputs.preprocessing, self.work)
            )
            images = "memory-map" if fits else "stream"
        if images == "stream":
            return StreamedPixels(manifest.paths, self.inputs.preprocessing), manifest
        return self.stored(manifest)

    def stored(self, manifest: Manifest) -> tuple[StoredPixels, Manifest]:
        """The images that could be read, and their rows."""
        workers, folder = self.running.workers, self.running.squares or self.work
        folder.mkdir(parents=True, exist_ok=True)
        if workers is None:
            workers = 0 if len(manifest) < _FEW_IMAGES else min(usable_cpus(), _MOST_WORKERS)
        file, bad = self.world.first_does(
            lambda: read_images(manifest.paths, self.inputs.preprocessing, folder, workers, self.progress)
        )
        _check_bad(manifest, bad, self.inputs.max_bad)
        keep = np.ones(len(manifest), dtype=bool)
        keep[[row for row, _ in bad]] = False
        return StoredPixels(file, np.flatnonzero(keep)), manifest.where(keep) if bad else manifest

    def source(self, encoders: Encoders, pixels: Pixels, pairs: Pairs, rows: int) -> ImageSource:
        """Where the encoders' inputs come from."""
        inputs, settings = self.inputs, self.settings
        if not settings.freeze_image_blocks:
            return AugmentedImages(
                pixels, inputs.preprocessing, settings.seed, pairs.after, settings.augmentation
            )
        # The views are part of the data, not of the run: equal for all seeds, so that runs can share them.
        views = AugmentedImages(pixels, inputs.preprocessing, 0, pairs.after, settings.augmentation)

        def write() -> Path:
            file = (inputs.features or self.work) / f"features-{self._key(pixels)}.npy"
            if not file.is_file():
                start = encoders.start()
                write_features(views, rows, start, settings.cached_views, file, self.device, self.progress)
            return file

        return FrozenFeatures(self.world.first_does(write), settings.seed)

    def _key(self, pixels: Pixels) -> str:
        weights = (self.inputs.init or self.inputs.image_tower or Path()) / WEIGHTS
        settings = self.settings
        return canonical_hash(
            [_pixels_hash(pixels), self.inputs.preprocessing.to_dict(), settings.freeze_image_blocks,
             settings.augmentation, settings.cached_views, file_hash(weights)]
        )[:16]  # fmt: skip


def _check_bad(manifest: Manifest, bad: list[tuple[int, InputError]], most: int) -> None:
    if len(bad) > most or len(bad) == len(manifest):
        row, error = bad[0]
        raise ManifestError(
            f"{len(bad)} of {len(manifest)} images cannot be read, the first: {error.reason}",
            where=manifest.paths[row],
            remedy="mend the manifest, or allow so many with --max-bad",
        )


def _pixels_hash(pixels: Pixels) -> str:
    """Of the pixels, not of the paths: another image may lie at a path by the time of the next run."""
    if isinstance(pixels, StoredPixels):
        return canonical_hash([file_hash(pixels.file), pixels.rows.tolist()])
    if isinstance(pixels, StreamedPixels):
        digest = hashlib.sha256()
        for path in pixels.paths:
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()
    raise TierError(f"{type(pixels).__name__} has no hash")
