"""`tier embed`: write the embeddings of chest X-rays."""

from __future__ import annotations

from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Exit

from tier_cli.commands import options as o
from tier_cli.commands.inputs import counter, reading, sources_of, stream_options
from tier_cli.commands.result_run import Intake
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.results.embedding_file import EmbeddingFile

if TYPE_CHECKING:
    from tier_cli.pipeline.embed import Embedder
    from tier_cli.results.embedded import Embedded, Space
    from tier_cli.results.output import Takes
    from tier_cli.results.privacy import Hasher


class PrecisionName(StrEnum):
    """How numbers are stored."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="The .parquet or .npz file to write.",
        rich_help_panel="Results",
    ),
]
Patches = Annotated[
    bool,
    typer.Option("--patches", help="Embed every patch of an image too.", rich_help_panel="Results"),
]
Dtype = Annotated[PrecisionName, typer.Option(help="How numbers are stored.", rich_help_panel="Results")]


def embed(
    paths: o.Paths,
    output: Output,
    model: o.Model = DEFAULT_MODEL,
    patches: Patches = False,
    dtype: Dtype = PrecisionName.FLOAT32,
    engine: o.Engine = o.EngineName.AUTO,
    device: o.Device = o.DeviceName.AUTO,
    views: o.Views = o.ViewsName.FRONTAL,
    window: o.Window = 1,
    accept_any: o.AcceptAny = False,
    fail_fast: o.FailFast = False,
    hash_ids: o.HashIds = False,
    batch_size: o.BatchSize = None,
    workers: o.Workers = None,
) -> None:
    """Write the embeddings of chest X-rays, for `tier search` and for one's own models.

    One unit vector an image, and its length before as norm. A file that cannot be
    used has its reason in the table, and no vector.

    Exit codes: 0 all went well; 2 wrong usage; 3 a file could not be embedded;
    130 Ctrl-C, which keeps what was done. For research use.
    """
    file = EmbeddingFile(output)
    sources = sources_of(paths)
    embedder = _open(model, patches, engine, device)
    options = stream_options(
        o.Unit.IMAGE, fail_fast, batch_size, workers, reading(views, window, accept_any, False)
    )
    intake = _EmbeddingIntake(file, embedder.space(dtype.value), _hasher() if hash_ids else None)
    intake.take(lambda tick: embedder.embed(sources, options, tick), counter(paths))
    if intake.failed:
        raise Exit(3)


class _EmbeddingIntake(Intake["Embedded"]):
    """Takes the embeddings of one run."""

    def __init__(self, file: EmbeddingFile, space: Space, hasher: Hasher | None):
        super().__init__("Embedding", "embedded", file.path, file.leftover)
        self._file, self._space, self._hasher = file, space, hasher

    def _prepared(self, result: Embedded) -> Embedded:
        if self._hasher is None:
            return result
        return result.hashed(self._hasher.hash, self._hasher.note)

    def _writer(self) -> AbstractContextManager[Takes[Embedded]]:
        return self._file.writer(self._space)


def _open(model: str, patches: bool, engine: o.EngineName, device: o.DeviceName) -> Embedder:
    from tier_cli.model.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(model)
    from tier_cli.model.open_engine import open_engine
    from tier_cli.pipeline.embed import Embedder

    return Embedder(checkpoint, open_engine(checkpoint, engine.value, device.value), patches)


def _hasher() -> Hasher:
    from tier_cli.results.privacy import Hasher

    return Hasher.from_environment()
