"""Stream files as pictures with their scores and the patches that the scores come from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tier_cli.decoding.decode import Crops
from tier_cli.errors import UsageError
from tier_cli.maps.overlap import OverlappingPatches, overlap_shifts
from tier_cli.maps.similarity import PatchMap
from tier_cli.pipeline.encode import patch_map_of, patches_at
from tier_cli.pipeline.runners.work import Work
from tier_cli.pipeline.scorer import within_memory
from tier_cli.pipeline.stream import batch_size_of, stream_results
from tier_cli.results.record import Failure, Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tier_cli.decoding.decode import Decoded
    from tier_cli.errors import InputError
    from tier_cli.imaging.discover import Source
    from tier_cli.maps.overlap import Patches
    from tier_cli.model.engine import Engine
    from tier_cli.pipeline.image_scorer import ImageScorer, WithPatches
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions

# The longer side of pictures, unless a caller needs another one.
PICTURE = 2048
# More crops than the square of this are no better, and take a gigabyte in flight.
MOST_OVERLAP = 4
# A multiple of the checkpoint's own size; larger images would take minutes and gigabytes.
MOST_SIZE = 4


@dataclass(frozen=True)
class Finer:
    """How to make maps finer than the model's grid; the scores do not change.

    Parameters
    ----------
    overlap
        N: average the maps of N x N crops, shifted by parts of a patch; 1 for one crop.
    size
        Side of the model's input in pixels for the maps; None for the checkpoint's own.
    """

    overlap: int = 1
    size: int | None = None


AS_IT_IS = Finer()


@dataclass(frozen=True, eq=False)
class ImagePatches:
    """One image with its result and its patches.

    Parameters
    ----------
    result
        The scores, as `tier classify` gives them, or the error.
    picture
        uint8 (h, w): the radiograph upright; None if `result` has an error.
    patches
        The patches, not yet compared with anything; None if `result` has an error.
    pooled
        The global embedding (D,), not L2-normalised; None if `result` has an error.
    """

    result: Result
    picture: NDArray[np.uint8] | None = None
    patches: Patches | None = None
    pooled: NDArray[np.float32] | None = None

    @property
    def error(self) -> Failure | None:
        """The reason why the file could not be used; None if it could."""
        return self.result.error


def explain(
    sources: Iterable[Source],
    job: ScoringJob,
    options: StreamOptions,
    picture: int = PICTURE,
    tick: Callable[[], object] = lambda: None,
    finer: Finer = AS_IT_IS,
) -> Generator[ImagePatches, None, None]:
    """Score files and keep what the scores come from.

    Parameters
    ----------
    sources
        Read a bounded number of files ahead of the model.
    job
        One model with its finding set.
    options
        Settings of the run; the unit is always the image.
    picture
        The longer side of the pictures in pixels.
    tick
        Called once per source.
    finer
        How to make the maps finer than the grid.

    Yields
    ------
    One per source, in order, with the scores of `tier classify`.

    Raises
    ------
    CheckpointError
        If the image tower has no grid of patches.
    UsageError
        If the model cannot make maps as `finer` says.
    """
    crops = crops_of(job, finer)
    scorer = job.scorer(replace(options, by="image"))
    settings = replace(scorer.settings(options.read), picture=picture, crops=crops)
    size = batch_size_of(options, job.engine)

    def compute(images: list[tuple[str, Decoded]]) -> list[ImagePatches]:
        scored = scorer.score_with_patches(images, size)
        return [
            _explained(scorer, one, image, job.engine, crops)
            for one, (_, image) in zip(scored, images, strict=True)
        ]

    def failed(path: str, error: InputError) -> ImagePatches:
        return ImagePatches(scorer.failed(path, error))

    yield from stream_results(sources, Work(settings, size, compute, failed), options, tick)


def crops_of(job: ScoringJob, finer: Finer) -> Crops | None:
    """Return the crops that finer maps need besides the one that is scored; None for none.

    Raises
    ------
    UsageError
        If the model cannot make maps of that size, or the overlap is not from 1 to `MOST_OVERLAP`.
    """
    if not 1 <= finer.overlap <= MOST_OVERLAP:
        raise UsageError(
            f"is {finer.overlap}", where="--overlap", remedy=f"give a whole number from 1 to {MOST_OVERLAP}"
        )
    own = job.checkpoint.preprocessing
    if finer == AS_IT_IS:
        return None
    rows, columns = patches_at(job.engine, own.crop)
    spec = own if finer.size is None else own.at_size(_checked_size(job, finer.size, (rows, columns)))
    down, right = (
        overlap_shifts(spec.crop, count * spec.crop // own.crop, finer.overlap) for count in (rows, columns)
    )
    shifts = list(itertools.product(down, right))
    # The crop that is scored is computed anyway.
    return Crops(spec, tuple(shifts[1:] if spec == own else shifts))


def _checked_size(job: ScoringJob, size: int, grid: tuple[int, int]) -> int:
    own = job.checkpoint.preprocessing.crop
    if job.engine.name == "onnx":
        raise UsageError(
            f"the ONNX graph of {job.checkpoint.name} takes images of {own} pixels only",
            where=f"--size {size}",
            remedy="add --engine torch",
        )
    patch = math.lcm(*(own // math.gcd(own, count) for count in grid))
    if size % patch or not own <= size <= MOST_SIZE * own:
        raise UsageError(
            f"is no multiple of a patch's {patch} pixels from {own} to {MOST_SIZE * own}",
            where=f"--size {size}",
            remedy=f"try --size {2 * own}",
        )
    return size


def _explained(
    scorer: ImageScorer, one: WithPatches, image: Decoded, engine: Engine, crops: Crops | None
) -> ImagePatches:
    result = scorer.finish.finished(one.result)
    if result.error is not None:
        return ImagePatches(result)
    own = patch_map_of(image, one.patches, one.grid)
    patches = own if crops is None or image.crops is None else _finer(own, image, image.crops, crops, engine)
    return ImagePatches(result, image.picture, patches, one.pooled)


def _finer(
    own: PatchMap, image: Decoded, pixels: NDArray[np.float32], crops: Crops, engine: Engine
) -> Patches:
    """Return the patches of an image in its crops (C, 3, S, S)."""
    found, grid = within_memory(engine, engine.patches, pixels)
    shifts = crops.shifts
    if shifts[0] == (0, 0):
        (rows, columns), side = grid, pixels.shape[-1]
        place = replace(own.grid, rows=rows, columns=columns, side=side, affine=image.crops_affine)
        own = PatchMap(found[0], place)
        found, shifts = found[1:], shifts[1:]
    return own if not shifts else OverlappingPatches(own, found, shifts, math.isqrt(len(shifts) + 1))
