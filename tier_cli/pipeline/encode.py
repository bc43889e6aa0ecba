"""Images in, embeddings or patches out: for measurements that need more of a model than its scores."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tier_cli.decoding.decode import Settings
from tier_cli.decoding.prefetch import decoded
from tier_cli.errors import InputError
from tier_cli.imaging.discover import Source
from tier_cli.pipeline.stream import batch_size_of, workers_of
from tier_cli.progress import Progress, no_progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.decoding.decode import Affine, Decoded
    from tier_cli.imaging.corrupt import Corruption
    from tier_cli.pipeline.scorer import Scorer
    from tier_cli.pipeline.stream import StreamOptions

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class PatchMap:
    """The patches of one image and where they lie.

    Parameters
    ----------
    patches
        float32 (P, D), row by row, not L2-normalised.
    grid
        Rows and columns of patches, P in all; together they cover the model's input.
    side
        Side of the model's input in pixels.
    affine
        From a pixel of the input to the radiograph's, see `tier_cli.imaging.preprocess.Prepared`.
    size
        Height and width of the radiograph in pixels.
    turned
        Whether the file holds the radiograph turned or mirrored.
    """

    patches: NDArray[np.float32]
    grid: tuple[int, int]
    side: int
    affine: Affine
    size: tuple[int, int]
    turned: bool = False


def embeddings(
    paths: Sequence[str],
    scorer: Scorer,
    options: StreamOptions,
    corruptions: Sequence[Corruption] = (),
    seed: int = 0,
    tick: Callable[[], object] = lambda: None,
) -> Generator[NDArray[np.float32] | InputError, None, None]:
    """Embed images, and the same images damaged; each file is decoded once.

    Parameters
    ----------
    paths, scorer, options
        The files, the model, and how files are read.
    corruptions, seed
        The V ways of damage, and what they depend on beside the image.
    tick
        Called once a file.

    Yields
    ------
    For each path, in order, the global embeddings (1 + V, D), the image as it is first, or what is wrong.
    """
    read = Settings.of(options.read, scorer.checkpoint.preprocessing)
    settings = replace(read, corruptions=tuple(corruptions), seed=seed)
    limit = batch_size_of(options, scorer.engine)

    def compute(images: Sequence[Decoded]) -> list[NDArray[np.float32]]:
        pixels = np.concatenate([image.pixels.reshape(-1, *image.pixels.shape[-3:]) for image in images])
        parts = [pixels[first : first + limit] for first in range(0, len(pixels), limit)]
        encoded = np.concatenate([scorer.encode(part) for part in parts])
        return list(encoded.reshape(len(images), 1 + len(corruptions), -1))

    # Several variants a file: fewer files at a time, so that memory stays what it is for one.
    yield from _each(paths, settings, options, max(1, limit // (1 + len(corruptions))), compute, tick)


def embedding_matrix(
    paths: Sequence[str], scorer: Scorer, options: StreamOptions, progress: Progress = no_progress
) -> NDArray[np.float32]:
    """Embed every image: one row per path (N, D), NaN where the file cannot be used."""
    matrix = np.full((len(paths), scorer.vectors.positive.shape[1]), np.nan, np.float32)
    with progress(len(paths), "Embedding images") as tick:
        for row, pooled in enumerate(embeddings(paths, scorer, options, tick=tick)):
            if not isinstance(pooled, InputError):
                matrix[row] = pooled[0]
    return matrix


def patch_maps(
    paths: Sequence[str],
    scorer: Scorer,
    options: StreamOptions,
    tick: Callable[[], object] = lambda: None,
) -> Generator[PatchMap | InputError, None, None]:
    """Give the patches of each image, in order, or what is wrong with it; parameters as in `embeddings`."""

    def compute(images: Sequence[Decoded]) -> list[PatchMap]:
        patches, grid = scorer.engine.patches(np.stack([image.pixels for image in images]))
        side = images[0].pixels.shape[-1]
        return [
            PatchMap(own, grid, side, image.affine, image.size, image.turned)
            for own, image in zip(patches, images, strict=True)
        ]

    settings = Settings.of(options.read, scorer.checkpoint.preprocessing)
    yield from _each(paths, settings, options, batch_size_of(options, scorer.engine), compute, tick)


def _each(
    paths: Sequence[str],
    settings: Settings,
    options: StreamOptions,
    files: int,
    compute: Callable[[Sequence[Decoded]], list[_T]],
    tick: Callable[[], object],
) -> Generator[_T | InputError, None, None]:
    """Decode ahead and compute a few files at a time."""
    sources = (Source(path) for path in paths)
    with closing(decoded(sources, settings, workers_of(options), files)) as outcomes:
        while group := list(islice(outcomes, files)):
            images = [image for _, image in group if not isinstance(image, InputError)]
            results = iter(compute(images) if images else [])
            for _, image in group:
                tick()
                yield image if isinstance(image, InputError) else next(results)
