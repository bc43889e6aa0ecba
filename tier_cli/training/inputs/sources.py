"""Open a run's image source: stored squares, the image files themselves, or cached features."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tier_cli.errors import ManifestError, TierError
from tier_cli.files.hashes import file_hash
from tier_cli.model.checkpoint import canonical_hash, weights_file
from tier_cli.model.engine import usable_cpus
from tier_cli.training.inputs.features import FrozenFeatures, unreadable_rows, write_features
from tier_cli.training.inputs.images import (
    AugmentedImages,
    StoredPixels,
    StreamedPixels,
    read_images,
    store_fits,
)
from tier_cli.training.inputs.regions import read_squares
from tier_cli.training.inputs.started_with import write_started

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from numpy.typing import NDArray
    from torch import nn

    from tier_cli.training.data.labels import LabelledRows, TrainingRows
    from tier_cli.training.distributed import World
    from tier_cli.training.inputs.images import Pixels
    from tier_cli.training.inputs.regions import Squares
    from tier_cli.training.inputs.started_with import Started
    from tier_cli.training.progress import TrainingProgress
    from tier_cli.training.settings import RunOptions, TrainSettings
    from tier_cli.training.train_inputs import TrainInputs

_Rows = TypeVar("_Rows", bound="LabelledRows")
_MOST_WORKERS = 8
# Below this count, starting processes takes longer than reading the images.
_FEW_IMAGES = 200


@dataclass
class Sources:
    """Open the image sources of a run; the first process writes their files.

    Parameters
    ----------
    inputs, settings, run_options
        The run.
    work
        Folder for files that only this run needs.
    world, device, progress
        The processes of the run, the device of this one, and the progress callback.
    before
        What a resumed run was started with: it continues with the same rows.
    left_out
        Collects the reasons for unreadable images, one line per image.
    """

    inputs: TrainInputs
    settings: TrainSettings
    run_options: RunOptions
    work: Path
    world: World
    device: torch.device
    progress: TrainingProgress
    before: Started | None = None
    left_out: list[str] = field(default_factory=list)
    _images: str = ""
    _rows: dict[str, Mapping[int, str]] = field(default_factory=dict)

    def pixels(self, manifest: _Rows) -> tuple[Pixels, _Rows]:
        """Open the training images as `RunOptions.images` asks; returns them and the readable rows."""
        self._images = (
            self.run_options.images if self.before is None else self.before.mode(self.run_options.images)
        )
        if self._images == "auto":
            fits = self.world.first_does(
                lambda: store_fits(manifest.paths, self.inputs.preprocessing, self._folder())
            )
            self._images = "memory-map" if fits else "stream"
        if self._images == "stream":
            passed_over = {} if self.before is None else self.before.passed_over
            return StreamedPixels(manifest.paths, self.inputs.preprocessing, passed_over), manifest
        return self.stored(manifest, "training")

    def record_start(self) -> None:
        """Record beside the state what the run was started with."""
        self.world.first_does(lambda: write_started(self.work, self._images, self._rows))

    def _folder(self) -> Path:
        folder = self.run_options.squares or self.work
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def stored(self, manifest: _Rows, name: str = "watched") -> tuple[StoredPixels, _Rows]:
        """Store the images; returns the readable ones and their rows.

        Parameters
        ----------
        manifest
            The rows to read.
        name
            Key of these images in the record of the run.
        """
        workers, folder = reading_workers(self.run_options.workers, len(manifest)), self._folder()
        spec, skip = self.inputs.preprocessing, self._unreadable_before(name)
        file, bad = self.world.first_does(
            lambda: read_images(
                manifest.paths, spec, folder, workers, self.progress,
                lambda bad: self._check_unreadable(bad, manifest, name), skip,
            )
        )  # fmt: skip
        rows, readable = self._drop_unreadable({row: str(error) for row, error in bad}, manifest, name)
        return StoredPixels(file, rows), readable

    def regions(self, manifest: TrainingRows, findings: Sequence[str]) -> Squares:
        """Read where the regions of findings lie in the training images, once for the run and its sweep."""
        workers, folder = reading_workers(self.run_options.workers, len(manifest)), self._folder()
        spec, streamed = self.inputs.preprocessing, self._images == "stream"
        return self.world.first_does(
            lambda: read_squares(manifest, findings, spec, folder, workers, self.progress, streamed)
        )

    def features(self, start: nn.Module, pixels: Pixels, manifest: _Rows) -> tuple[FrozenFeatures, _Rows]:
        """Cache the output of the frozen blocks; returns it and the rows of the readable images."""
        inputs, settings = self.inputs, self.settings
        # Views belong to the data, not to the run: with the same seed (0) for all, runs can share them.
        views = AugmentedImages(pixels, inputs.preprocessing, 0, None, settings.augmentation)

        def write() -> tuple[Path, dict[int, str]]:
            file = (self.run_options.features or self.work) / f"features-{self._key(pixels)}.npy"
            if not file.is_file() or (self.before is None and _any_readable(views, unreadable_rows(file))):
                write_features(
                    views, len(manifest), start, settings.cached_views, file, self.device,
                    self.progress, lambda bad: self._check_unreadable(bad, manifest, "features"),
                )  # fmt: skip
            return file, unreadable_rows(file)

        file, bad = self.world.first_does(write)
        rows, readable = self._drop_unreadable(bad, manifest, "features")
        return FrozenFeatures(file, rows, settings.seed), readable

    def _unreadable_before(self, name: str) -> Mapping[int, str]:
        return {} if self.before is None else self.before.same(name, {})

    def _drop_unreadable(
        self, bad: Mapping[int, str], manifest: _Rows, name: str
    ) -> tuple[NDArray[np.int64], _Rows]:
        """Record unreadable rows; return the numbers of the others and the manifest of the others."""
        self._check_unreadable(bad, manifest, name)
        bad = bad if self.before is None else self.before.same(name, bad)
        self._rows[name] = bad
        self.left_out.extend(bad[row] for row in sorted(bad))
        keep = np.ones(len(manifest), dtype=bool)
        keep[list(bad)] = False
        return np.flatnonzero(keep), manifest.where(keep) if bad else manifest

    def _check_unreadable(self, bad: Mapping[int, str], manifest: LabelledRows, name: str) -> None:
        if self.before is not None:
            self.before.same(name, bad)
            return
        count = len(self.left_out) + len(bad)
        if bad and (count > self.run_options.max_bad or len(bad) == len(manifest)):
            total = f" ({count} in the whole run)" if self.left_out else ""
            raise ManifestError(
                f"{len(bad)} of {len(manifest)} images cannot be read{total}; the first: {bad[min(bad)]}",
                remedy="correct the manifest, or allow more unreadable images with --max-bad; reading stopped"
                " there, so there may be more",
            )

    def _key(self, pixels: Pixels) -> str:
        weights = weights_file(self.inputs.init or self.inputs.image_tower or Path())
        settings = self.settings
        return canonical_hash(
            [_pixels_hash(pixels), self.inputs.preprocessing.to_dict(), settings.freeze_image_blocks,
             settings.augmentation, settings.cached_views, file_hash(weights)]
        )[:16]  # fmt: skip


def reading_workers(given: int | None, images: int) -> int:
    """Return how many processes read images: as many as were given, else a number for that many images."""
    if given is not None:
        return given
    return 0 if images < _FEW_IMAGES else min(usable_cpus(), _MOST_WORKERS)


def _any_readable(views: AugmentedImages, bad: Mapping[int, str]) -> bool:
    """Return whether any image that was unreadable when the features were computed can be read now."""
    rows = np.array(sorted(bad), dtype=np.int64)
    return len(views.batch(rows, rows)[1]) > 0


def _pixels_hash(pixels: Pixels) -> str:
    """Hash the pixels, not the paths: a path may hold another image by the next run."""
    if isinstance(pixels, StoredPixels):
        return canonical_hash([file_hash(pixels.file), pixels.rows.tolist()])
    if isinstance(pixels, StreamedPixels):
        digest = hashlib.sha256()
        for path in pixels.paths:
            digest.update(_file_digest(path))
        return digest.hexdigest()
    raise TierError(f"{type(pixels).__name__} has no hash")


def _file_digest(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        # Reading it as an image will report the reason.
        return b"unreadable"
