"""Read training images as 8-bit squares, stored in one file or streamed, and augment them."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch

from tier_cli.decoding.decode import Decoded, Settings, decode
from tier_cli.decoding.prefetch import decoded
from tier_cli.errors import InputError, UsageError
from tier_cli.files.atomic import whole_file
from tier_cli.imaging.discover import Source
from tier_cli.imaging.preprocess import Preprocessing, normalise
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.model.checkpoint import canonical_hash
from tier_cli.training.inputs.augment import augment, warps
from tier_cli.training.inputs.augment_paper import augment_as_published, warps_as_published
from tier_cli.training.progress import Stage
from tier_cli.training.seeds import AUGMENTATION, derive

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from tier_cli.training.progress import TrainingProgress

    Bytes = NDArray[np.uint8]
    Rows = NDArray[np.int64]


class Augmentation(NamedTuple):
    """Augment a batch of images, and return the warps of one image for the same draws."""

    images: Callable[[Tensor, int, torch.Generator], Tensor]
    warps: Callable[[torch.Generator], tuple[Tensor, ...]]


AUGMENTATIONS = {
    "standard": Augmentation(augment, warps),
    "paper": Augmentation(augment_as_published, warps_as_published),
}
_READ = 1
# The rest of the free space is left for checkpoints and other users.
_DISK_SHARE = 0.5
_MOST_REPLACEMENTS = 32
# Squares are flushed to the disk in groups of this size, and only then marked as read.
_FLUSH_EVERY = 512


class Pixels(Protocol):
    """Provide the grey levels of each image."""

    def read(self, row: int) -> Bytes:
        """Return the square (side, side) that the crop is cut from; raises `InputError`."""
        ...


@dataclass
class StoredPixels:
    """Read squares from the file that `read_images` wrote.

    The file is opened on first use, so that the object can be pickled to worker processes.

    Parameters
    ----------
    file
        A numpy file (N, side, side) of bytes.
    rows
        The row of the file for each row of the manifest.
    """

    file: Path
    rows: Rows
    _open: Bytes | None = None

    def read(self, row: int) -> Bytes:
        """Return the square of a row; see `Pixels`."""
        if self._open is None:
            self._open = np.load(self.file, mmap_mode="r")
        square: Bytes = self._open[self.rows[row]]
        return square

    def __getstate__(self) -> dict[str, object]:
        return {"file": self.file, "rows": self.rows, "_open": None}


@dataclass(frozen=True)
class StreamedPixels:
    """Decode the image at every draw; yields the same bytes as `StoredPixels`.

    Parameters
    ----------
    paths, preprocessing
        The image files, and how to read them.
    passed_over
        Rows that were unreadable when the run was started, with the reasons: a resumed run skips them even if
        they can be read by now.
    """

    paths: Sequence[str]
    preprocessing: Preprocessing
    passed_over: Mapping[int, str] = field(default_factory=dict)

    def read(self, row: int) -> Bytes:
        """Return the square of a row; see `Pixels`."""
        if row in self.passed_over:
            raise InputError(self.passed_over[row])
        return _grey_bytes(decode(self.paths[row], decoder_settings(self.preprocessing)))


def read_images(
    paths: Sequence[str],
    preprocessing: Preprocessing,
    folder: Path,
    workers: int,
    progress: TrainingProgress,
    check: Callable[[Mapping[int, str]], None] | None = None,
    skip: Collection[int] = (),
) -> tuple[Path, list[tuple[int, InputError]]]:
    """Read every image once into a file of bytes (N, side, side), continuing where an earlier call stopped.

    Parameters
    ----------
    paths, preprocessing
        The image files, and how to read them.
    folder, workers, progress
        The folder of the file, the number of reading processes, and the progress callback.
    check
        Called with all unreadable rows and their reasons whenever one is added; may raise to end the run.
    skip
        Rows not to read.

    Returns
    -------
    tuple
        The file, and the unreadable rows (left black) with their errors.

    Raises
    ------
    OSError
        The disk is full.
    """
    side = square_around_crop(preprocessing).crop
    file = squares_file(paths, preprocessing, folder)
    if not file.is_file():
        # The squares are gone, so the record of which were read is void.
        _status_file(file).unlink(missing_ok=True)
    images: Any = _open_or_allocate(file, (len(paths), side, side), np.uint8)
    status = _open_or_allocate(_status_file(file), (len(paths),), np.uint8)
    waiting = np.setdiff1d(np.flatnonzero(status != _READ), list(skip))
    bad: dict[int, InputError] = {}
    read: list[int] = []

    def mark_read() -> None:
        images.flush()
        status[read] = _READ
        read.clear()

    sources = (Source(paths[int(row)]) for row in waiting)
    done = len(paths) - len(waiting)
    with closing(decoded(sources, decoder_settings(preprocessing), workers, 16)) as outcomes:
        try:
            for row, (_, outcome) in zip(waiting, outcomes, strict=True):
                try:
                    images[row] = _grey_bytes(outcome)
                    read.append(int(row))
                except InputError as error:
                    bad[int(row)] = error
                    if check is not None:
                        check({number: str(why) for number, why in bad.items()})
                if len(read) == _FLUSH_EVERY:
                    mark_read()
                done += 1
                progress(Stage.READING_IMAGES, done, len(paths))
        finally:
            mark_read()
    return file, list(bad.items())


def squares_file(paths: Sequence[str], preprocessing: Preprocessing, folder: Path) -> Path:
    """Return the path where `read_images` stores the squares of these images."""
    return folder / f"images-{canonical_hash([list(paths), preprocessing.to_dict()])[:16]}.npy"


def _status_file(squares: Path) -> Path:
    return squares.with_suffix(".read.npy")


def store_fits(paths: Sequence[str], preprocessing: Preprocessing, folder: Path) -> bool:
    """Return whether the squares are stored already or would take less than half of the free disk space."""
    if squares_file(paths, preprocessing, folder).is_file():
        return True
    side = square_around_crop(preprocessing).crop
    return len(paths) * side * side < _DISK_SHARE * shutil.disk_usage(folder).free


class AugmentedImages:
    """Provide normalised pixels (N, 3, S, S), augmented anew at every draw.

    Parameters
    ----------
    pixels
        Source of the squares.
    preprocessing
        Crop and normalisation.
    seed
        Together with the place of a draw, decides the augmentation.
    replacement
        Returns the row to use in place of an unreadable one; None leaves unreadable rows out.
    augmentation
        A key of `AUGMENTATIONS`.
    """

    def __init__(
        self,
        pixels: Pixels,
        preprocessing: Preprocessing,
        seed: int,
        replacement: Callable[[int], int] | None,
        augmentation: str = "standard",
    ):
        self._pixels, self._spec, self._seed = pixels, preprocessing, seed
        self._replacement = replacement
        self._augment = AUGMENTATIONS[augmentation].images
        self.slow = isinstance(pixels, StreamedPixels)

    def batch(self, rows: Rows, places: Rows) -> tuple[Tensor, Rows, list[tuple[int, str]]]:
        """Return the inputs of rows drawn at the given places of the run.

        Returns
        -------
        tuple
            Inputs (n, 3, S, S), the rows actually used (n,), and the unreadable rows with the reasons.
        """
        used, bad, squares = [], [], []
        for row, place in zip(rows, places, strict=True):
            pixels, row_used, missed = self._read(int(row))
            bad += missed
            if pixels is None:
                continue
            used.append(row_used)
            draws = torch.Generator().manual_seed(derive(self._seed, AUGMENTATION, int(place)))
            grey = torch.from_numpy(np.divide(pixels, 255, dtype=np.float32))[None, None]
            squares.append(self._augment(grey, self._spec.crop, draws)[0, 0])
        side = self._spec.crop
        together = torch.stack(squares) if squares else torch.empty(0, side, side)
        inputs = torch.from_numpy(normalise(together.numpy(), self._spec))
        return inputs, np.array(used, dtype=np.int64), bad

    def _read(self, row: int) -> tuple[Bytes | None, int, list[tuple[int, str]]]:
        bad: list[tuple[int, str]] = []
        while True:
            try:
                return self._pixels.read(row), row, bad
            except InputError as error:
                bad.append((row, str(error)))
                if self._replacement is None:
                    return None, row, bad
                if len(bad) == _MOST_REPLACEMENTS:
                    raise UsageError(
                        f"{len(bad)} images in a row cannot be read; the last one: {error.reason}",
                        where=error.where,
                        remedy="correct the manifest",
                    ) from error
                row = self._replacement(row)


def square_around_crop(spec: Preprocessing) -> Preprocessing:
    """Return the same resize with the largest square kept: rotation and shift need pixels around the crop."""
    if spec.fit != "crop" or spec.resize_short is None:
        return spec
    return replace(spec, crop=max(spec.resize_short, spec.crop))


def centre_crops(squares: Bytes, spec: Preprocessing) -> Tensor:
    """Return normalised pixels (N, 3, S, S) of the crop that scoring uses, without augmentation."""
    first = (squares.shape[-1] - spec.crop) // 2
    crop = squares[:, first : first + spec.crop, first : first + spec.crop]
    return torch.from_numpy(normalise(np.divide(crop, 255, dtype=np.float32), spec))


def scoring_inputs(paths: Sequence[str], spec: Preprocessing, workers: int, size: int) -> Iterator[Tensor]:
    """Yield batches (n, 3, S, S) of images prepared as for scoring, without rounding; raises `InputError`."""
    settings = Settings(ReadOptions(rendering=spec.rendering, views="all", decode="full"), spec)
    batch: list[Tensor] = []
    with closing(decoded((Source(path) for path in paths), settings, workers, size)) as outcomes:
        for _, outcome in outcomes:
            if isinstance(outcome, InputError):
                raise outcome
            batch.append(torch.from_numpy(outcome.pixels))
            if len(batch) == size:
                yield torch.stack(batch)
                batch = []
    if batch:
        yield torch.stack(batch)


def decoder_settings(preprocessing: Preprocessing) -> Settings:
    """Return settings for a decoder that yields the plain grey levels of the square."""
    plain = replace(square_around_crop(preprocessing), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return Settings(ReadOptions(rendering=preprocessing.rendering, views="all", decode="full"), plain)


def _grey_bytes(outcome: Decoded | InputError) -> Bytes:
    if isinstance(outcome, InputError):
        raise outcome
    square: Bytes = np.rint(outcome.pixels[0] * 255).astype(np.uint8)
    return square


def _open_or_allocate(file: Path, shape: tuple[int, ...], dtype: type) -> Bytes:
    """Open the array of a file for writing; allocate the file first if it does not exist."""
    if file.is_file():
        return np.lib.format.open_memmap(file, mode="r+")
    with whole_file(file) as partial:
        allocate(partial, shape, np.dtype(dtype))
    return np.lib.format.open_memmap(file, mode="r+")


def allocate(file: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    """Create a numpy file of zeros and reserve all its blocks.

    Without the reservation, a disk that fills up later would kill the process with SIGBUS.
    """
    np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape).flush()
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
