"""Encode with onnxruntime on CPU, without loading torch or transformers."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import IMAGE_GRAPH, TEXT_GRAPH
from tier_cli.model.engine import no_patches, usable_cpus
from tier_cli.model.tokens import (
    TextTokenizer,
    TextTokens,
    embed_in_batches,
    project_in_batches,
    tokens_in_batches,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tier_cli.model.checkpoint import Checkpoint

Array = NDArray[np.float32]
_REWRITE = "rewrite it with `tier model export`, or use --engine torch"


class OnnxEngine:
    """Engine that runs the ONNX graphs of a checkpoint folder, each opened at first use.

    Each image is computed alone, on one thread, and several at the same time: the bits of an embedding depend
    neither on the other images of its batch nor on the number of threads, as they would in a batch.

    Parameters
    ----------
    checkpoint
        Its folder contains image_encoder.onnx and text_encoder.onnx.
    threads
        CPU threads; by default all that this process may use.
    """

    name = "onnx"
    device = "cpu"

    def __init__(self, checkpoint: Checkpoint, threads: int | None = None):
        self._checkpoint = checkpoint
        self._threads = threads or usable_cpus()
        for graph in (IMAGE_GRAPH, TEXT_GRAPH):
            if not (checkpoint.path / graph).is_file():
                raise CheckpointError(
                    f"no {graph}",
                    where=str(checkpoint.path),
                    remedy="write it with `tier model export`, or use --engine torch",
                )

    def encode_images(self, pixels: Array) -> Array:
        """Return global image embeddings (N, D), not L2-normalised."""
        return self._encode_each(["pooled"], pixels)[0]

    def patches(self, pixels: Array) -> tuple[Array, tuple[int, int]]:
        """Return patch embeddings (N, P, D), not L2-normalised, and their grid (h, w)."""
        grid = self._grid()
        (patches,) = self._encode_each(["patches"], pixels)
        return patches, grid

    def features(self, pixels: Array) -> tuple[Array, Array, tuple[int, int]]:
        """Return global (N, D) and patch embeddings (N, P, D), not L2-normalised, and the grid (h, w)."""
        grid = self._grid()
        pooled, patches = self._encode_each(["pooled", "patches"], pixels)
        return pooled, patches, grid

    def _encode_each(self, outputs: list[str], pixels: Array) -> list[Array]:
        images, session = self._checked(pixels), self._image
        # An empty batch gives the shapes of the outputs.
        parts = [images[number : number + 1] for number in range(len(images))] or [images]

        def compute(part: Array) -> list[Array]:
            found: list[Array] = session.run(outputs, {"pixel_values": part})
            return found

        each = self._pool.map(compute, parts) if len(parts) > 1 and self._threads > 1 else map(compute, parts)
        return [np.concatenate(rows) for rows in zip(*each, strict=True)]

    def _grid(self) -> tuple[int, int]:
        stated = self._image.get_modelmeta().custom_metadata_map.get("grid", "")
        if not re.fullmatch(r"[0-9]{1,5}x[0-9]{1,5}", stated):
            raise CheckpointError(
                f"does not state its grid of patches but {stated[:20]!r}",
                where=str(self._checkpoint.path / IMAGE_GRAPH),
                remedy=_REWRITE,
            )
        h, w = map(int, stated.split("x"))
        if (h, w) == (0, 0):
            raise no_patches(self._checkpoint)
        return h, w

    def embed_texts(self, texts: Sequence[str]) -> Array:
        """Return unit text embeddings (n, D)."""
        embedded: Array = embed_in_batches(texts, self._encode, self._tokenizer)
        return embedded

    def project_texts(self, texts: Sequence[str]) -> Array:
        """Return text embeddings (n, D), not L2-normalised."""
        projected: Array = project_in_batches(texts, self._encode, self._tokenizer)
        return projected

    def embed_tokens(self, texts: Sequence[str]) -> list[TextTokens]:
        """Return the tokens of each text with their embeddings."""

        def encode(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Any:
            return self._text.run(["tokens", "pooled"], {"input_ids": ids, "attention_mask": mask})

        return tokens_in_batches(texts, encode, self._tokenizer)

    def _encode(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Any:
        return self._text.run(["pooled"], {"input_ids": ids, "attention_mask": mask})[0]

    def _checked(self, pixels: Array) -> Array:
        size = self._checkpoint.preprocessing.crop
        if pixels.ndim != 4 or pixels.shape[1:] != (3, size, size):
            raise CheckpointError(
                f"the image encoder takes (N, 3, {size}, {size}), got {pixels.shape}",
                where=str(self._checkpoint.path),
                remedy="prepare images with the checkpoint's preprocessing",
            )
        return np.ascontiguousarray(pixels, dtype=np.float32)

    def check(self) -> None:
        """Open graphs and tokenizer now, to raise their errors."""
        _ = self._image, self._text, self._tokenizer

    @cached_property
    def _image(self) -> Any:
        return self._open(IMAGE_GRAPH, threads=1)

    @cached_property
    def _text(self) -> Any:
        return self._open(TEXT_GRAPH, self._threads)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix="onnx")

    def _open(self, graph: str, threads: int) -> Any:
        path = self._checkpoint.path / graph
        session = open_session(path, threads)
        # The graph refers to byte ranges of the weight file; another file has other numbers there.
        weights = session.get_modelmeta().custom_metadata_map.get("weights")
        if weights != self._checkpoint.hashes["weights"]:
            raise CheckpointError(
                "the graph was written for other weights",
                where=str(path),
                remedy=_REWRITE,
            )
        return _Graph(session, str(path), int(self._checkpoint.config.get("projection_dim", 128)))

    @cached_property
    def _tokenizer(self) -> TextTokenizer:
        return TextTokenizer.of(self._checkpoint.path, self._checkpoint.config)


class _Graph:
    """An opened graph, whose failures are the checkpoint's fault: it came with the configuration."""

    def __init__(self, session: Any, path: str, width: int):
        self._session, self._path, self._width = session, path, width

    def get_modelmeta(self) -> Any:
        return self._session.get_modelmeta()

    def run(self, outputs: list[str], inputs: dict[str, Any]) -> list[Array]:
        """Return the outputs, (..., D) float32 each."""
        try:
            found: list[Array] = self._session.run(outputs, inputs)
        except Exception as error:
            what = f"the graph cannot be run ({_first_line(error)})"
            raise CheckpointError(what, where=self._path, remedy=_REWRITE) from error
        if any(one.dtype != np.float32 or one.shape[-1:] != (self._width,) for one in found):
            shapes = [(one.shape, str(one.dtype)) for one in found]
            what = f"the graph returns {shapes}, not embeddings of {self._width} numbers"
            raise CheckpointError(what, where=self._path, remedy=_REWRITE)
        return found


def _first_line(error: Exception) -> str:
    """Return the beginning of what onnxruntime says, which can be pages long."""
    return str(error).partition("\n")[0][:300]


def open_session(path: Path, threads: int) -> Any:
    """Open an onnxruntime session on CPU.

    Raises
    ------
    CheckpointError
        The graph cannot be opened or its weights do not fit.
    """
    return _session(path, _options(threads))


def fold_constants(graph: Path, output: Path) -> dict[str, str]:
    """Write a graph in float32 with weights inside and normalisation merged; return its properties.

    Raises
    ------
    CheckpointError
        As `open_session`.
    """
    options = _options(1)
    import onnxruntime

    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(output)
    properties: dict[str, str] = _session(graph, options).get_modelmeta().custom_metadata_map
    return properties


def _options(threads: int) -> Any:
    # Its telemetry opens sockets and writes a device id; only this, set before the import, stops it.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Only fatal messages: errors are raised, and would be printed as well, in colours.
    options.log_severity_level = 4
    return options


def _session(path: Path, options: Any) -> Any:
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CheckpointError(
            f"the graph cannot be opened ({_first_line(error)})",
            where=str(path),
            remedy="check the folder with `tier model verify`",
        ) from error
