"""Turn a query into a vector: a text, the difference of two texts, or an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.errors import CheckpointError, InputError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.model.checkpoint import Checkpoint
    from tier_cli.model.engine import Engine
    from tier_cli.search.index import EmbeddingIndex

    Array = NDArray[np.float32]


def check_model(checkpoint: Checkpoint, indexes: Sequence[EmbeddingIndex], with_image: bool) -> None:
    """Refuse a model other than the one that made the embeddings.

    Raises
    ------
    UsageError
        If the weights differ; for a text also the tokenizer, for an image the preprocessing.
    """
    for name in ("weights", *(("preprocessing",) if with_image else ("tokenizer",))):
        if checkpoint.hashes[name] != indexes[0].hashes[name]:
            raise UsageError(
                f"its embeddings were made by {indexes[0].model}; {checkpoint.name} has different {name}",
                where=str(indexes[0].path),
                remedy="name that checkpoint with --model, or embed the images again",
            )


def text_vector(engine: Engine, text: str, negative: str | None = None) -> Array:
    """Embed a text (D,) like a finding with this single prompt, minus the vector of a negative text.

    Raises
    ------
    CheckpointError
        If the embedding is not finite.
    """
    texts = [text] if negative is None else [text, negative]
    vectors = engine.embed_texts(texts)
    if not np.isfinite(vectors).all():
        raise CheckpointError(
            "the model returned no finite embedding for the text", remedy="check it with `tier model verify`"
        )
    return np.asarray(vectors[0] if negative is None else vectors[0] - vectors[1], np.float32)


def image_vector(checkpoint: Checkpoint, engine: Engine, path: str) -> Array:
    """Embed an image of any view (D,).

    Raises
    ------
    InputError
        If the file cannot be used.
    """
    from tier_cli.imaging.discover import Source
    from tier_cli.imaging.radiograph import ReadOptions
    from tier_cli.pipeline.embed import Embedder
    from tier_cli.pipeline.stream import StreamOptions

    options = StreamOptions(ReadOptions(views="all"), workers=0)
    (result,) = Embedder(checkpoint, engine).embed([Source(path)], options)
    if result.vector is None or result.error is not None:
        known = result.error
        raise InputError(
            known.message if known else "nothing was embedded", where=path, kind=known.kind if known else None
        )
    return result.vector
