"""The streaming run without findings: sources in, embeddings out, in the order of the sources."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.decoding.decode import Decoded, Settings
from tier_cli.decoding.prefetch import decoded
from tier_cli.errors import InputError
from tier_cli.pipeline.scorer import within_memory
from tier_cli.pipeline.stream import batch_size_of, computed, workers_of
from tier_cli.results.embedded import Embedded, Precision, Space
from tier_cli.results.record import Failure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.imaging.discover import Source
    from tier_cli.model.checkpoint import Checkpoint
    from tier_cli.model.engine import Engine
    from tier_cli.pipeline.stream import StreamOptions

    Array = NDArray[np.float32]

_NOT_FINITE = Failure(
    "not_finite",
    "the model gave no finite embedding for it; check the checkpoint with `tier model verify`, "
    "or try --device cpu",
)


@dataclass(frozen=True, eq=False)
class Embedder:
    """A model that images are embedded with.

    Parameters
    ----------
    checkpoint, engine
        The model, and what computes it.
    with_patches
        Give patches too.
    """

    checkpoint: Checkpoint
    engine: Engine
    with_patches: bool = False

    def space(self, precision: Precision = "float32") -> Space:
        """Say which vectors these are."""
        return Space(
            self.checkpoint.name,
            self.checkpoint.hashes,
            int(self.checkpoint.config.get("projection_dim", 128)),
            precision,
            self.with_patches,
        )

    def embed(
        self, sources: Iterable[Source], options: StreamOptions, tick: Callable[[], object] = lambda: None
    ) -> Generator[Embedded, None, None]:
        """Embed images, or say of each why it cannot be embedded.

        Parameters
        ----------
        sources
            Taken a bounded number of files ahead of the model.
        options
            How the run goes; always by image.
        tick
            Called once a source, when it is done with.

        Yields
        ------
        One result a source, in the order of the sources.
        """
        settings = Settings.of(options.read, self.checkpoint.preprocessing)
        size = batch_size_of(options, self.engine)
        with closing(decoded(sources, settings, workers_of(options), size)) as outcomes:
            yield from computed(outcomes, size, self._batch, _failed, options.fail_fast, tick)

    def _batch(self, images: Sequence[tuple[str, Decoded]]) -> list[Embedded]:
        pixels = np.stack([image.pixels for _, image in images])
        if not self.with_patches:
            pooled = within_memory(self.engine, self.engine.encode_images, pixels)
            return [_embedded(path, image, row) for (path, image), row in zip(images, pooled, strict=True)]
        pooled, patches, grid = within_memory(self.engine, self.engine.features, pixels)
        return [
            _embedded(path, image, row, own, grid)
            for (path, image), row, own in zip(images, pooled, patches, strict=True)
        ]


def _embedded(
    path: str,
    image: Decoded,
    pooled: Array,
    patches: Array | None = None,
    grid: tuple[int, int] | None = None,
) -> Embedded:
    known: dict[str, Any] = {"view": image.view, "study": image.study, "series": image.series}
    known |= {"instance": image.instance, "notes": image.notes}
    vector, norm = _unit(pooled)
    of_patches = (None, None) if patches is None else _unit(patches)
    if not (np.isfinite(norm) & (norm > 0)) or not np.isfinite(vector).all():
        return Embedded(path, error=_NOT_FINITE, **known)
    return Embedded(
        path,
        vector=vector,
        norm=float(norm),
        patches=of_patches[0],
        patch_norms=of_patches[1],
        grid=grid,
        **known,
    )


def _unit(values: Array) -> tuple[Array, Array]:
    """Give vectors (..., D) of length 1, and their lengths (...); a vector of length 0 stays as it is."""
    wide = values.astype(np.float64)
    norms = np.linalg.norm(wide, axis=-1)
    unit = wide / np.where(norms > 0, norms, 1)[..., None]
    return unit.astype(np.float32), norms.astype(np.float32)


def _failed(path: str, error: InputError) -> Embedded:
    return Embedded(path, error=Failure(error.kind, error.reason))
