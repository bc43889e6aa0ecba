"""Lay the regions of findings over training images, augmented as the images are."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from tier_cli.datasets.regions import by_finding, region_reader, upright_mask
from tier_cli.decoding.prefetch import decoded
from tier_cli.errors import InputError, ManifestError
from tier_cli.files.atomic import whole_file
from tier_cli.imaging.discover import Source
from tier_cli.model.checkpoint import canonical_hash
from tier_cli.training.inputs.images import AUGMENTATIONS, decoder_settings, square_around_crop
from tier_cli.training.progress import Stage
from tier_cli.training.seeds import AUGMENTATION, derive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from tier_cli.datasets.regions import Region
    from tier_cli.decoding.decode import Decoded
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.training.data.labels import TrainingRows
    from tier_cli.training.data.prompts import Prompts
    from tier_cli.training.progress import TrainingProgress

    Rows = NDArray[np.int64]
    Mask = NDArray[np.bool_]

# By row and id of a finding: the region in the square of the image, in packed bits, compressed.
Squares = dict[int, dict[str, bytes]]
# A region of which less is left in the augmented image says nothing about where the finding is.
_LEAST_SHARE = 0.1


class RegionBatch(NamedTuple):
    """Hold where findings are in the images of a process's batch.

    Numbers (R,) of the image in the batch and of the finding among those of the step, and how much of each
    patch (R, P) the region covers, in [0, 1].
    """

    images: Tensor
    findings: Tensor
    cover: Tensor

    def to(self, device: torch.device) -> RegionBatch:
        """Return the regions on a device."""
        return RegionBatch(*(t.to(device, non_blocking=True) for t in self))

    def within(self, part: slice) -> RegionBatch:
        """Return the regions of a part of the batch, whose images are counted from its start."""
        inside = (self.images >= part.start) & (self.images < part.stop)
        return RegionBatch(self.images[inside] - part.start, self.findings[inside], self.cover[inside])


@dataclass(frozen=True)
class TrainingRegions:
    """The regions of training images.

    Parameters
    ----------
    squares
        What `read_squares` found.
    prompts
        The prompts of the run: which findings a step has.
    order
        (N,) the row whose regions each row has: its own, unless they are shuffled as texts and labels are.
    spec, augmentation, seed
        How the images become model inputs, and how they are augmented: as for `AugmentedImages`.
    grid
        Rows and columns of patches.
    """

    squares: Squares
    prompts: Prompts
    order: Rows
    spec: Preprocessing
    augmentation: str
    seed: int
    grid: tuple[int, int]

    def batch(self, rows: Rows, places: Rows, step: int) -> RegionBatch | None:
        """Return the regions of a step's findings in images drawn at the given places of the run.

        Rows and places (n,) are those of `AugmentedImages.batch`. None if there are no such regions.
        """
        _, columns = self.prompts.draw(step)
        numbers = {self.prompts.findings[column].id: number for number, column in enumerate(columns)}
        images, findings, covers = [], [], []
        for image, (row, place) in enumerate(zip(rows, places, strict=True)):
            own = self.squares.get(int(self.order[row]), {})
            wanted = [name for name in own if name in numbers]
            if not wanted:
                continue
            left, cover = self._augmented([own[name] for name in wanted], int(place))
            images += [image] * int(left.sum())
            findings += [numbers[name] for name, use in zip(wanted, left, strict=True) if use]
            covers.append(cover[left])
        if not images:
            return None
        return RegionBatch(torch.tensor(images), torch.tensor(findings), torch.cat(covers))

    def _augmented(self, packed: Sequence[bytes], place: int) -> tuple[Tensor, Tensor]:
        """Return which regions of a draw are left (R,), and how much of each patch they cover (R, P)."""
        side, crop = square_around_crop(self.spec).crop, self.spec.crop
        masks = torch.from_numpy(np.stack([_unpacked(one, side) for one in packed])).float()[None]
        whole, pixels = masks.sum((0, 2, 3)), float(side * side)
        draws = torch.Generator().manual_seed(derive(self.seed, AUGMENTATION, place))
        for matrix in AUGMENTATIONS[self.augmentation].warps(draws):
            grid = functional.affine_grid(matrix, [1, 1, crop, crop], align_corners=False)
            masks = functional.grid_sample(masks, grid, padding_mode="zeros", align_corners=False)
            pixels *= torch.linalg.det(matrix[0, :, :2]).abs().item()
        # A pixel of the input covers so many pixels of the square.
        left = masks.sum((0, 2, 3)) * pixels / crop**2
        cover = functional.adaptive_avg_pool2d(masks, self.grid)[0].flatten(1)
        return (left > 0) & (left >= _LEAST_SHARE * whole), cover


def count_regions(rows: TrainingRows, findings: Sequence[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Count the images that have regions of each finding, and the regions of other findings, by name.

    Raises
    ------
    ManifestError
        A cell is not a list of boxes or masks, or the file of a mask does not exist.
    """
    read = region_reader(rows.manifest)
    used: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for row in range(len(rows)):
        for name, parts in by_finding(read(row), rows.findings, others).items():
            if name not in findings:
                others[name] += len(parts)
                continue
            used[name] += 1
            for part in parts:
                if part.path is not None and not os.path.isfile(part.path):
                    raise ManifestError(
                        "no such mask file", where=part.path, remedy="correct the column `mask`"
                    )
    return dict(used.most_common()), dict(others.most_common())


def read_squares(
    rows: TrainingRows,
    findings: Sequence[str],
    spec: Preprocessing,
    folder: Path,
    workers: int,
    progress: TrainingProgress,
    skip_unreadable: bool = False,
) -> Squares:
    """Read where each region lies in the square of its image that crops are cut from, once for a folder.

    The regions of one finding count as one. One that lies outside the square is left out.

    Parameters
    ----------
    rows
        The training rows.
    findings
        Ids of the findings that images are compared with; regions of others are left out.
    spec, folder, workers, progress
        How the images are read, the folder that keeps the result, the number of processes, and the progress
        callback.
    skip_unreadable
        An image that cannot be read has no regions; otherwise it is an error.

    Raises
    ------
    ManifestError
        A cell is not a list of boxes or masks, or an image cannot be read.
    InputError
        A mask file cannot be read.
    """
    read, paths = region_reader(rows.manifest), rows.paths
    wanted = []
    digest = hashlib.sha256(canonical_hash([list(findings), spec.to_dict()]).encode())
    for row in range(len(rows)):
        own = read(row)
        if not by_finding(own, rows.findings).keys().isdisjoint(findings):
            wanted.append(row)
            digest.update(repr((row, paths[row], own)).encode())
    file = folder / f"regions-{digest.hexdigest()[:16]}.npz"
    if file.is_file():
        return _load(file)
    side, squares = square_around_crop(spec).crop, Squares()
    sources = (Source(paths[row]) for row in wanted)
    with closing(decoded(sources, decoder_settings(spec), workers, 16)) as outcomes:
        for done, (row, (_, outcome)) in enumerate(zip(wanted, outcomes, strict=True), 1):
            if isinstance(outcome, InputError):
                if not skip_unreadable:
                    raise ManifestError(
                        f"an image with boxes or masks can no longer be read: {outcome}",
                        remedy="restore it, and continue with --resume or start again",
                    )
                continue
            parts = by_finding(read(row), rows.findings)
            laid = {name: _in_square(parts[name], outcome, side) for name in parts if name in findings}
            squares[row] = {name: _packed(mask) for name, mask in laid.items() if mask.any()}
            progress(Stage.READING_REGIONS, done, len(wanted))
    with whole_file(file) as partial:
        _save(partial, squares)
    return squares


def _in_square(parts: Sequence[Region], image: Decoded, side: int) -> Mask:
    """Return regions, in pixels of the file, as one mask (side, side) of the image's square."""
    source = upright_mask(parts, image.size, image.orientation)
    (step_x, _, first_x), (_, step_y, first_y) = image.affine
    down, across = (
        np.floor(first + step * np.arange(side) + 0.5).astype(np.int64)
        for first, step in ((first_y, step_y), (first_x, step_x))
    )
    rows, columns = (
        (at >= 0) & (at < length) for at, length in zip((down, across), source.shape, strict=True)
    )
    square = np.zeros((side, side), dtype=bool)
    square[np.ix_(rows, columns)] = source[np.ix_(down[rows], across[columns])]
    if not square.any():
        # Smaller than a pixel of the square: the pixels that it touches.
        ys, xs = np.nonzero(source)
        at = np.rint(np.stack([(ys - first_y) / step_y, (xs - first_x) / step_x])).astype(np.int64)
        inside = ((at >= 0) & (at < side)).all(axis=0)
        square[at[0, inside], at[1, inside]] = True
    return square


def _packed(mask: Mask) -> bytes:
    return zlib.compress(np.packbits(mask).tobytes())


def _unpacked(packed: bytes, side: int) -> NDArray[np.uint8]:
    bits = np.unpackbits(np.frombuffer(zlib.decompress(packed), np.uint8), count=side * side)
    return bits.reshape(side, side)


def _save(file: Path, squares: Mapping[int, Mapping[str, bytes]]) -> None:
    flat = [(row, name, packed) for row, found in squares.items() for name, packed in found.items()]
    with file.open("wb") as opened:
        np.savez(
            opened,
            rows=np.array([row for row, _, _ in flat], dtype=np.int64),
            names=np.array([name for _, name, _ in flat], dtype=np.str_),
            ends=np.cumsum([len(packed) for _, _, packed in flat], dtype=np.int64),
            packed=np.frombuffer(b"".join(packed for _, _, packed in flat), np.uint8),
        )


def _load(file: Path) -> Squares:
    squares: Squares = {}
    with np.load(file) as kept:
        packed = kept["packed"].tobytes()
        rows, names, ends = (kept[name].tolist() for name in ("rows", "names", "ends"))
    for row, name, first, end in zip(rows, names, [0, *ends[:-1]], ends, strict=True):
        squares.setdefault(row, {})[name] = packed[first:end]
    return squares
