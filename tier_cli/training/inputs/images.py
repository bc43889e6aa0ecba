"""Images for training: squares of bytes, read once into a file or at every draw, given out augmented."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

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
from tier_cli.training.inputs.augment import augment
from tier_cli.training.inputs.augment_paper import augment_as_published
from tier_cli.training.progress import Stage
from tier_cli.training.seeds import AUGMENTATION, derive

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from tier_cli.training.progress import TrainingProgress

    Bytes = NDArray[np.uint8]
    Rows = NDArray[np.int64]

AUGMENTATIONS = {"standard": augment, "paper": augment_as_published}
_READ = 1
# The rest of the disk is for checkpoints and other people.
_DISK_SHARE = 0.5
_STAND_INS = 32
# So many squares are on the disk before any of them counts as read.
_AT_ONCE = 512


class Pixels(Protocol):
    """Gives the square of a row."""

    def read(self, row: int) -> Bytes:
        """Grey levels (side, side) of the square that the crop is cut from; raises `InputError`."""
        ...


@dataclass
class StoredPixels:
    """Squares from a file that `read_images` wrote; opened where it is used, so that it travels well.

    Parameters
    ----------
    file
        A numpy file (N, side, side) of bytes.
    rows
        Which of its rows are the manifest's.
    """

    file: Path
    rows: Rows
    _open: Bytes | None = None

    def read(self, row: int) -> Bytes:
        """See `Pixels`."""
        if self._open is None:
            self._open = np.load(self.file, mmap_mode="r")
        square: Bytes = self._open[self.rows[row]]
        return square

    def __getstate__(self) -> dict[str, object]:
        return {"file": self.file, "rows": self.rows, "_open": None}


@dataclass(frozen=True)
class StreamedPixels:
    """Squares read from the images themselves at every draw: the same bytes as `StoredPixels` gives.

    Parameters
    ----------
    paths, preprocessing
        The images, and how they are read.
    passed_over
        Rows that could not be read before the run was resumed, and why: they stay so.
    """

    paths: Sequence[str]
    preprocessing: Preprocessing
    passed_over: Mapping[int, str] = field(default_factory=dict)

    def read(self, row: int) -> Bytes:
        """See `Pixels`."""
        if row in self.passed_over:
            raise InputError(self.passed_over[row])
        return _bytes(decode(self.paths[row], _settings(self.preprocessing)))


def read_images(
    paths: Sequence[str],
    preprocessing: Preprocessing,
    folder: Path,
    workers: int,
    progress: TrainingProgress,
    check: Callable[[Mapping[int, str]], None] | None = None,
    without: Collection[int] = (),
) -> tuple[Path, list[tuple[int, InputError]]]:
    """Read every image once into a file of bytes, (N, side, side); go on where an earlier call stopped.

    Parameters
    ----------
    paths, preprocessing
        The images, and how they are read.
    folder, workers, progress
        Where the file goes, how many processes read, and who is told.
    check
        Given the rows that could not be read, and why, whenever there is one more: may refuse to go on.
    without
        Rows that are not read.

    Returns
    -------
    tuple
        The file, and the rows that could not be read with their errors (left black).

    Raises
    ------
    OSError
        The disk is too small.
    """
    side = square_around_crop(preprocessing).crop
    file = squares_file(paths, preprocessing, folder)
    if not file.is_file():
        # What was read is gone with the file.
        _status_file(file).unlink(missing_ok=True)
    images: Any = _array(file, (len(paths), side, side), np.uint8)
    status = _array(_status_file(file), (len(paths),), np.uint8)
    waiting = np.setdiff1d(np.flatnonzero(status != _READ), list(without))
    bad: dict[int, InputError] = {}
    read: list[int] = []

    def mark() -> None:
        images.flush()
        status[read] = _READ
        read.clear()

    sources = (Source(paths[int(row)]) for row in waiting)
    done = len(paths) - len(waiting)
    with closing(decoded(sources, _settings(preprocessing), workers, 16)) as outcomes:
        try:
            for row, (_, outcome) in zip(waiting, outcomes, strict=True):
                try:
                    images[row] = _bytes(outcome)
                    read.append(int(row))
                except InputError as error:
                    bad[int(row)] = error
                    if check is not None:
                        check({number: str(why) for number, why in bad.items()})
                if len(read) == _AT_ONCE:
                    mark()
                done += 1
                progress(Stage.READING_IMAGES, done, len(paths))
        finally:
            mark()
    return file, list(bad.items())


def squares_file(paths: Sequence[str], preprocessing: Preprocessing, folder: Path) -> Path:
    """Where `read_images` keeps the squares of these images."""
    return folder / f"images-{canonical_hash([list(paths), preprocessing.to_dict()])[:16]}.npy"


def _status_file(squares: Path) -> Path:
    return squares.with_suffix(".read.npy")


def store_fits(paths: Sequence[str], preprocessing: Preprocessing, folder: Path) -> bool:
    """Whether their squares take less than half of the disk's free space, or lie there already."""
    if squares_file(paths, preprocessing, folder).is_file():
        return True
    side = square_around_crop(preprocessing).crop
    return len(paths) * side * side < _DISK_SHARE * shutil.disk_usage(folder).free


class AugmentedImages:
    """Normalised pixels (N, 3, S, S), augmented anew at every draw.

    Parameters
    ----------
    pixels
        Where squares come from.
    preprocessing, seed
        What is made of them; what the changes depend on, beside the place of each draw.
    stand_in
        The row to take for one that cannot be read; None leaves that one out.
    augmentation
        A name of `AUGMENTATIONS`.
    """

    def __init__(
        self,
        pixels: Pixels,
        preprocessing: Preprocessing,
        seed: int,
        stand_in: Callable[[int], int] | None,
        augmentation: str = "standard",
    ):
        self._pixels, self._spec, self._seed, self._stand_in = pixels, preprocessing, seed, stand_in
        self._augment = AUGMENTATIONS[augmentation]
        self.slow = isinstance(pixels, StreamedPixels)

    def batch(self, rows: Rows, places: Rows) -> tuple[Tensor, Rows, list[tuple[int, str]]]:
        """Inputs of rows drawn at places of the run; the rows taken; those that are unreadable."""
        taken, bad, squares = [], [], []
        for row, place in zip(rows, places, strict=True):
            pixels, row_taken, missed = self._read(int(row))
            bad += missed
            if pixels is None:
                continue
            taken.append(row_taken)
            draws = torch.Generator().manual_seed(derive(self._seed, AUGMENTATION, int(place)))
            grey = torch.from_numpy(np.divide(pixels, 255, dtype=np.float32))[None, None]
            squares.append(self._augment(grey, self._spec.crop, draws)[0, 0])
        side = self._spec.crop
        together = torch.stack(squares) if squares else torch.empty(0, side, side)
        inputs = torch.from_numpy(normalise(together.numpy(), self._spec))
        return inputs, np.array(taken, dtype=np.int64), bad

    def _read(self, row: int) -> tuple[Bytes | None, int, list[tuple[int, str]]]:
        bad: list[tuple[int, str]] = []
        while True:
            try:
                return self._pixels.read(row), row, bad
            except InputError as error:
                bad.append((row, str(error)))
                if self._stand_in is None:
                    return None, row, bad
                if len(bad) == _STAND_INS:
                    raise UsageError(
                        f"{len(bad)} images after each other cannot be read, the last: {error.reason}",
                        where=error.where,
                        remedy="mend the manifest",
                    ) from error
                row = self._stand_in(row)


def square_around_crop(spec: Preprocessing) -> Preprocessing:
    """The same resize with the largest square kept: rotation and shift find pixels around the crop."""
    if spec.fit != "crop" or spec.resize_short is None:
        return spec
    return replace(spec, crop=max(spec.resize_short, spec.crop))


def centred(squares: Bytes, spec: Preprocessing) -> Tensor:
    """Normalised pixels (N, 3, S, S) of the crop that is used to score: nothing is augmented."""
    first = (squares.shape[-1] - spec.crop) // 2
    crop = squares[:, first : first + spec.crop, first : first + spec.crop]
    return torch.from_numpy(normalise(np.divide(crop, 255, dtype=np.float32), spec))


def _settings(preprocessing: Preprocessing) -> Settings:
    """Of a decoder whose pixels are plain grey levels of the square."""
    plain = replace(square_around_crop(preprocessing), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return Settings(ReadOptions(rendering=preprocessing.rendering, views="all"), plain)


def _bytes(outcome: Decoded | InputError) -> Bytes:
    if isinstance(outcome, InputError):
        raise outcome
    square: Bytes = np.rint(outcome.pixels[0] * 255).astype(np.uint8)
    return square


def _array(file: Path, shape: tuple[int, ...], dtype: type) -> Bytes:
    """An array in a file, kept when it is there already."""
    if file.is_file():
        return np.lib.format.open_memmap(file, mode="r+")
    with whole_file(file) as partial:
        allocate(partial, shape, np.dtype(dtype))
    return np.lib.format.open_memmap(file, mode="r+")


def allocate(file: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    """Make a numpy file of zeros with all its blocks; a disk that fills up later would kill the process."""
    np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape).flush()
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
