"""Encode images as embeddings or patches, for measurements that need more than scores."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tier_cli.decoding.decode import Settings
from tier_cli.errors import InputError
from tier_cli.imaging.discover import Source
from tier_cli.maps.patch_grid import PatchGrid
from tier_cli.maps.similarity import PatchMap
from tier_cli.pipeline.runners.work import Work
from tier_cli.pipeline.stream import batch_size_of, workers_of
from tier_cli.progress import Progress, no_progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.decoding.decode import Decoded
    from tier_cli.imaging.corrupt import Corruption
    from tier_cli.model.engine import Engine
    from tier_cli.pipeline.scorer import Scorer
    from tier_cli.pipeline.stream import StreamOptions

_T = TypeVar("_T")


def embeddings(
    paths: Sequence[str],
    scorer: Scorer,
    options: StreamOptions,
    corruptions: Sequence[Corruption] = (),
    seed: int = 0,
    tick: Callable[[], object] = lambda: None,
) -> Generator[NDArray[np.float32] | InputError, None, None]:
    """Embed images together with corrupted versions of them; each file is decoded once.

    Parameters
    ----------
    paths, scorer, options
        The files, the model, and the settings of the run.
    corruptions, seed
        The V corruptions, and the seed that, with the image, determines them.
    tick
        Called once per file.

    Yields
    ------
    For each path, in order, the global embeddings (1 + V, D), the uncorrupted image first, or the error.
    """
    read = Settings.of(options.read, scorer.checkpoint.preprocessing)
    settings = replace(read, corruptions=tuple(corruptions), seed=seed)
    limit = batch_size_of(options, scorer.engine)

    def compute(images: Sequence[Decoded]) -> list[NDArray[np.float32]]:
        pixels = np.concatenate([image.pixels.reshape(-1, *image.pixels.shape[-3:]) for image in images])
        parts = [pixels[first : first + limit] for first in range(0, len(pixels), limit)]
        encoded = np.concatenate([scorer.encode(part) for part in parts])
        return list(encoded.reshape(len(images), 1 + len(corruptions), -1))

    # Several versions per file: fewer files per batch keep memory the same.
    yield from _in_batches(paths, settings, options, max(1, limit // (1 + len(corruptions))), compute, tick)


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
    """Yield the patches of each image, in order, or the error; parameters as in `embeddings`."""

    def compute(images: Sequence[Decoded]) -> list[PatchMap]:
        patches, grid = scorer.engine.patches(np.stack([image.pixels for image in images]))
        return [patch_map_of(image, own, grid) for own, image in zip(patches, images, strict=True)]

    settings = Settings.of(options.read, scorer.checkpoint.preprocessing)
    yield from _in_batches(paths, settings, options, batch_size_of(options, scorer.engine), compute, tick)


def patch_map_of(image: Decoded, patches: NDArray[np.float32], grid: tuple[int, int]) -> PatchMap:
    """Return the patches (P, D) of a prepared image, in rows and columns as `grid` has, with their place."""
    place = PatchGrid(*grid, image.pixels.shape[-1], image.affine, image.size, image.orientation)
    return PatchMap(patches, place)


def patches_at(engine: Engine, side: int) -> tuple[int, int]:
    """Return rows and columns of the patches of an input of `side` pixels.

    Raises
    ------
    CheckpointError
        If the image tower has no grid of patches.
    """
    return engine.patches(np.zeros((1, 3, side, side), np.float32))[1]


def _in_batches(
    paths: Sequence[str],
    settings: Settings,
    options: StreamOptions,
    files: int,
    compute: Callable[[Sequence[Decoded]], list[_T]],
    tick: Callable[[], object],
) -> Generator[_T | InputError, None, None]:
    """Decode ahead and compute one batch of files at a time."""

    def compute_each(images: list[tuple[str, Decoded]]) -> list[_T | InputError]:
        return [*compute([image for _, image in images])]

    def failed(path: str, error: InputError) -> _T | InputError:
        return error

    work = Work(settings, files, compute_each, failed)
    sources = (Source(path) for path in paths)
    with closing(options.runner.run(sources, work, workers_of(options))) as results:
        for result in results:
            tick()
            yield result
