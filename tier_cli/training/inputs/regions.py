"""Lay the regions of findings over training images, augmented as the images are."""

from __future__ import annotations

import zlib
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from tier_cli.datasets.regions import regions
from tier_cli.decoding.prefetch import decoded
from tier_cli.errors import InputError
from tier_cli.imaging.discover import Source
from tier_cli.training.inputs.images import AUGMENTATIONS, decoder_settings, square_around_crop
from tier_cli.training.progress import Stage
from tier_cli.training.seeds import AUGMENTATION, derive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from tier_cli.datasets.regions import Region
    from tier_cli.decoding.decode import Decoded
    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.training.data.labels import TrainingRows
    from tier_cli.training.progress import TrainingProgress

    Rows = NDArray[np.int64]
    Mask = NDArray[np.bool_]

# By row and id of a finding: the region in the square of the image, in packed bits, compressed.
Squares = dict[int, dict[str, bytes]]
# A region of which less is left in the augmented image says nothing about where the finding is.
_LEAST_SHARE = 0.1


class RegionBatch(NamedTuple):
    """Hold where findings are in the images of a process's batch.

    Numbers (R,) of the image in the batch and of the finding among those of the step, and masks (R, S, S) of
    the regions in the model's input.
    """

    images: Tensor
    findings: Tensor
    masks: Tensor

    def to(self, device: torch.device) -> RegionBatch:
        """Return the regions on a device."""
        return RegionBatch(*(t.to(device) for t in self))

    def within(self, part: slice) -> RegionBatch:
        """Return the regions of a part of the batch, whose images are counted from its start."""
        inside = (self.images >= part.start) & (self.images < part.stop)
        return RegionBatch(self.images[inside] - part.start, self.findings[inside], self.masks[inside])


@dataclass(frozen=True)
class TrainingRegions:
    """The regions of training images.

    Parameters
    ----------
    squares
        What `read_squares` found.
    spec
        How the images become model inputs.
    order
        (N,) the row whose regions each row has: its own, unless they are shuffled as texts and labels are.
    augmentation, seed
        As for `AugmentedImages`.
    """

    squares: Squares
    spec: Preprocessing
    order: Rows
    augmentation: str
    seed: int

    def batch(self, rows: Rows, places: Rows, findings: Sequence[str]) -> RegionBatch | None:
        """Return the regions of images drawn at the given places of the run; None where there are none.

        Parameters
        ----------
        rows, places
            (n,) the images, as for `AugmentedImages.batch`.
        findings
            Ids of the findings of the step; regions of others are left out.
        """
        numbers = {name: number for number, name in enumerate(findings)}
        found = []
        for image, (row, place) in enumerate(zip(rows, places, strict=True)):
            for name, packed in self.squares.get(int(self.order[row]), {}).items():
                if name not in numbers:
                    continue
                mask = self._augmented(packed, int(place))
                if mask is not None:
                    found.append((image, numbers[name], mask))
        if not found:
            return None
        images, columns, masks = zip(*found, strict=True)
        return RegionBatch(torch.tensor(images), torch.tensor(columns), torch.stack(masks))

    def _augmented(self, packed: bytes, place: int) -> Tensor | None:
        """Return a region in the input (S, S) of the draw, or None if too little of it is left there."""
        side, crop = square_around_crop(self.spec).crop, self.spec.crop
        mask = torch.from_numpy(_unpacked(packed, side)).float()[None, None]
        whole, pixels = mask.sum(), float(side * side)
        draws = torch.Generator().manual_seed(derive(self.seed, AUGMENTATION, place))
        for matrix in AUGMENTATIONS[self.augmentation].warps(draws):
            grid = functional.affine_grid(matrix, [1, 1, crop, crop], align_corners=False)
            mask = functional.grid_sample(mask, grid, padding_mode="zeros", align_corners=False)
            pixels *= torch.linalg.det(matrix[0, :, :2]).abs().item()
        # A pixel of the input covers so many pixels of the square.
        left = mask.sum() * pixels / crop**2
        return mask[0, 0] if left > 0 and left >= _LEAST_SHARE * whole else None


def read_squares(
    rows: TrainingRows,
    findings: Sequence[str],
    spec: Preprocessing,
    workers: int,
    progress: TrainingProgress,
) -> Squares:
    """Read where each region lies in the square of its image that crops are cut from.

    The regions of one finding count as one. An image that cannot be read has none.

    Parameters
    ----------
    rows
        The training rows.
    findings
        Ids of the findings that images are compared with; regions of others are left out.
    spec, workers, progress
        How the images are read, in how many processes, and the progress callback.

    Raises
    ------
    ManifestError
        A cell is not a list of boxes or masks.
    InputError
        A mask file is missing or cannot be read.
    """
    own = [_by_finding(cell, rows.findings, findings) for cell in regions(rows.manifest)]
    wanted = [number for number, found in enumerate(own) if found]
    sources = (Source(rows.paths[number]) for number in wanted)
    side = square_around_crop(spec).crop
    squares: Squares = {}
    with closing(decoded(sources, decoder_settings(spec), workers, 16)) as outcomes:
        for done, (number, (_, outcome)) in enumerate(zip(wanted, outcomes, strict=True), 1):
            if not isinstance(outcome, InputError):
                laid = {name: _in_square(parts, outcome, side) for name, parts in own[number].items()}
                squares[number] = {name: _packed(mask) for name, mask in laid.items() if mask.any()}
            progress(Stage.READING_REGIONS, done, len(wanted))
    return {number: found for number, found in squares.items() if found}


def count_regions(squares: Squares) -> dict[str, int]:
    """Return how many images show each finding, by its id."""
    return dict(Counter(name for found in squares.values() for name in found).most_common())


def _by_finding(
    cell: Sequence[Region], findings: FindingSet, wanted: Sequence[str]
) -> Mapping[str, list[Region]]:
    grouped: dict[str, list[Region]] = {}
    for region in cell:
        known = findings.match(region.finding)
        if known is not None and known.id in wanted:
            grouped.setdefault(known.id, []).append(region)
    return grouped


def _in_square(parts: Sequence[Region], image: Decoded, side: int) -> Mask:
    """Return regions, in pixels of the file, as one mask (side, side) of the image's square."""
    height, width = image.orientation.swapped(image.size)
    stored = np.zeros((height, width), dtype=bool)
    for part in parts:
        stored |= part.mask(height, width)
    source = image.orientation.upright(stored)
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
