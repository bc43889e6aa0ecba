"""`tier embed`: write the embeddings of chest X-rays to a file."""

from __future__ import annotations

from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Exit

from tier_cli.commands import options
from tier_cli.commands.inputs import counter, passing_over, sources_of
from tier_cli.commands.result_run import ResultRun, hasher
from tier_cli.imaging.budget import DEFAULT_MEMORY, DEFAULT_TIMEOUT
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.results.embedding_file import EmbeddingFile
from tier_cli.results.overwrite import check_not_an_input

if TYPE_CHECKING:
    from tier_cli.imaging.discover import PassedOver
    from tier_cli.pipeline.embed import Embedder
    from tier_cli.pipeline.runners.work import Runner
    from tier_cli.results.embedded import EmbeddingResult, EmbeddingSpace
    from tier_cli.results.privacy import Hasher
    from tier_cli.results.writers import ResultWriter


class PrecisionName(StrEnum):
    """The number type in the file."""

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
    options.switch("Results", "--patches", "Also embed every patch of each image."),
]
Dtype = Annotated[PrecisionName, typer.Option(help="Number type in the file.", rich_help_panel="Results")]


def embed(
    paths: options.Paths,
    output: Output,
    model: options.Model = DEFAULT_MODEL,
    patches: Patches = False,
    dtype: Dtype = PrecisionName.FLOAT32,
    engine: options.Engine = options.EngineName.AUTO,
    device: options.Device = options.DeviceName.AUTO,
    views: options.ReadViews = options.ReadViewsName.FRONTAL,
    window: options.Window = 1,
    accept_any: options.AcceptAny = False,
    decode: options.Decode = options.DecodeName.FAST,
    fail_fast: options.FailFast = False,
    hash_ids: options.HashIds = False,
    batch_size: options.BatchSize = None,
    workers: options.Workers = None,
    runner: options.Runner = options.RunnerName.LOCAL,
    ray_address: options.RayAddress = None,
    timeout_per_file: options.TimeoutPerFile = DEFAULT_TIMEOUT,
    memory_per_file: options.MemoryPerFile = DEFAULT_MEMORY,
) -> None:
    """Write the embeddings of chest X-rays, for `tier search` or your own models.

    Each image gives one vector of length 1, with its original length as norm.
    A file that cannot be used has the reason in the table and no vector.

    Exit codes: 0 success; 2 wrong usage; 3 some files could not be embedded;
    130 Ctrl-C, 143 SIGTERM, 129 SIGHUP. Finished results are kept.

    For research use; not a medical device.
    """
    file = EmbeddingFile(output)
    check_not_an_input(file.path, "--output", [*paths, model])
    passed_over = passing_over(hash_ids)
    sources = sources_of(paths, passed_over)
    from tier_cli.commands.runners import opened

    with opened(runner, ray_address, workers) as distributor:
        embedder = _open(model, patches, engine, device, distributor)
        from tier_cli.pipeline.stream import stream_options

        stream = stream_options(
            views=views.value,
            window=window,
            accept_any=accept_any,
            decode=decode.value,
            batch_size=batch_size,
            workers=workers,
            timeout_per_file=timeout_per_file,
            memory_per_file=memory_per_file,
            fail_fast=fail_fast,
            runner=distributor,
        )
        run = _EmbeddingRun(file, embedder.space(dtype.value), hasher(hash_ids), passed_over)
        run.write_all(lambda tick: embedder.embed(sources, stream, tick), counter(paths))
        if run.failed:
            raise Exit(3)


class _EmbeddingRun(ResultRun["EmbeddingResult"]):
    """Write the embeddings of one run."""

    def __init__(
        self, file: EmbeddingFile, space: EmbeddingSpace, hasher: Hasher | None, passed_over: PassedOver
    ):
        super().__init__("Embedding", "embedded", file.path, file.leftover, passed_over)
        self._file, self._space, self._hasher = file, space, hasher

    def _prepared(self, result: EmbeddingResult) -> EmbeddingResult:
        if self._hasher is None:
            return result
        return result.hashed(self._hasher.hash, self._hasher.note)

    def _writer(self) -> AbstractContextManager[ResultWriter[EmbeddingResult]]:
        return self._file.writer(self._space)


def _open(
    model: str, patches: bool, engine: options.EngineName, device: options.DeviceName, runner: Runner
) -> Embedder:
    from tier_cli.model.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(model)
    from tier_cli.pipeline.embed import Embedder

    return Embedder(checkpoint, runner.open_engine(checkpoint, engine.value, device.value), patches)
