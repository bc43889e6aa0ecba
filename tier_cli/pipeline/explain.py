"""Stream files as pictures with their scores and the patches that the scores come from."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tier_cli.decoding.prefetch import decoded
from tier_cli.maps.similarity import PatchMap
from tier_cli.pipeline.encode import grid_of
from tier_cli.pipeline.stream import batch_size_of, compute_results, workers_of
from tier_cli.results.record import Failure, Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tier_cli.decoding.decode import Decoded
    from tier_cli.errors import InputError
    from tier_cli.imaging.discover import Source
    from tier_cli.pipeline.image_scorer import ImageScorer, WithPatches
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions

# The longer side of pictures, unless a caller needs another one.
PICTURE = 2048


@dataclass(frozen=True, eq=False)
class Explained:
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
    patches: PatchMap | None = None
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
) -> Generator[Explained, None, None]:
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

    Yields
    ------
    One per source, in order, with the scores of `tier classify`.

    Raises
    ------
    CheckpointError
        If the image tower has no grid of patches.
    """
    scorer = job.scorer(replace(options, by="image"))
    settings = replace(scorer.settings(options.read), picture=picture)
    size = batch_size_of(options, job.engine)

    def compute(images: list[tuple[str, Decoded]]) -> list[Explained]:
        scored = scorer.score_with_patches(images, size)
        return [_explained(scorer, one, image) for one, (_, image) in zip(scored, images, strict=True)]

    def failed(path: str, error: InputError) -> Explained:
        return Explained(scorer.failed(path, error))

    with closing(decoded(sources, settings, workers_of(options), size)) as outcomes:
        yield from compute_results(outcomes, size, compute, failed, options.fail_fast, tick)


def _explained(scorer: ImageScorer, one: WithPatches, image: Decoded) -> Explained:
    result = scorer.finish.finished(one.result)
    if result.error is not None:
        return Explained(result)
    return Explained(result, image.picture, PatchMap(one.patches, grid_of(image, one.grid)), one.pooled)
