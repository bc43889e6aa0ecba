"""Stream files through decoding and embedding, in the order of the sources and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.decoding.decode import Decoded, Settings
from tier_cli.errors import InputError
from tier_cli.pipeline.runners.work import Work
from tier_cli.pipeline.scorer import within_memory
from tier_cli.pipeline.stream import batch_size_of, stream_results
from tier_cli.results.embedded import EmbeddingResult, EmbeddingSpace, Precision
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
    "the model returned no finite embedding for this image; check the checkpoint with `tier model verify`, "
    "or try --device cpu",
)


@dataclass(frozen=True, eq=False)
class Embedder:
    """Embed images with one model.

    Parameters
    ----------
    checkpoint, engine
        The model, and the engine that computes it.
    with_patches
        Embed the patches too.
    """

    checkpoint: Checkpoint
    engine: Engine
    with_patches: bool = False

    def space(self, precision: Precision = "float32") -> EmbeddingSpace:
        """Return the space of the vectors."""
        return EmbeddingSpace(
            self.checkpoint.name,
            self.checkpoint.hashes,
            int(self.checkpoint.config.get("projection_dim", 128)),
            precision,
            self.with_patches,
        )

    def embed(
        self, sources: Iterable[Source], options: StreamOptions, tick: Callable[[], object] = lambda: None
    ) -> Generator[EmbeddingResult, None, None]:
        """Embed files; a file that cannot be embedded gives a result with the reason.

        Parameters
        ----------
        sources
            Read a bounded number of files ahead of the model.
        options
            Settings of the run; the unit is always the image.
        tick
            Called once per source, when it is processed.

        Yields
        ------
        One result per source, in the order of the sources.
        """
        settings = Settings.of(options.read, self.checkpoint.preprocessing)
        work = Work(settings, batch_size_of(options, self.engine), self._batch, _failed)
        yield from stream_results(sources, work, options, tick)

    def _batch(self, images: Sequence[tuple[str, Decoded]]) -> list[EmbeddingResult]:
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
) -> EmbeddingResult:
    known: dict[str, Any] = {"view": image.view, "study": image.study, "series": image.series}
    known |= {"instance": image.instance, "notes": image.notes}
    vector, norm = _unit(pooled)
    unit_patches, patch_norms = (None, None) if patches is None else _unit(patches)
    if not (np.isfinite(norm) & (norm > 0)) or not np.isfinite(vector).all():
        return EmbeddingResult(path, error=_NOT_FINITE, **known)
    return EmbeddingResult(
        path,
        vector=vector,
        norm=float(norm),
        patches=unit_patches,
        patch_norms=patch_norms,
        grid=grid,
        **known,
    )


def _unit(values: Array) -> tuple[Array, Array]:
    """Normalise vectors (..., D) and return them with their lengths (...); zero vectors stay zero."""
    wide = values.astype(np.float64)
    norms = np.linalg.norm(wide, axis=-1)
    unit = wide / np.where(norms > 0, norms, 1)[..., None]
    return unit.astype(np.float32), norms.astype(np.float32)


def _failed(path: str, error: InputError) -> EmbeddingResult:
    return EmbeddingResult(path, error=Failure(error.kind, error.reason))
