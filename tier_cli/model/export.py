"""Export ONNX graphs whose weights are byte ranges of model.safetensors."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from tier_cli.errors import CheckpointError
from tier_cli.files.atomic import whole_file
from tier_cli.files.hashes import file_hash
from tier_cli.model.checkpoint import IMAGE_GRAPH, PREPROCESSING, TEXT_GRAPH, WEIGHTS, read_json
from tier_cli.model.modeling import TierModel
from tier_cli.model.weights import StoredTensor, read_layout, tensor_digests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

TOLERANCE = 1e-4
_OPSET = 20
# Stored type -> (numpy type to compare bytes in, name of the ONNX type).
_STORED = {"F16": (np.float16, "FLOAT16"), "F32": (np.float32, "FLOAT")}
# Constants that are not tensors of the file, such as index tables, stay in the graph up to this size.
_MOST_INLINE = 1 << 20


def export_graphs(folder: str | Path) -> dict[str, float]:
    """Write both graphs of a checkpoint folder from its model.safetensors and compare them with torch.

    Returns
    -------
    dict
        The largest difference from torch of each graph, relative to its largest output.

    Raises
    ------
    CheckpointError
        A weight of the graph is not in the file, or an output differs by more than 1e-4 of its largest.
    """
    folder = Path(folder)
    model = TierModel.from_pretrained(folder).eval()
    size = int(read_json(folder / PREPROCESSING)["crop"])
    store, digest = _Store(folder / WEIGHTS), file_hash(folder / WEIGHTS)
    differences = {}
    for name, encoder in ((IMAGE_GRAPH, _ImageEncoder(model)), (TEXT_GRAPH, _TextEncoder(model))):
        example = encoder.example(2, size)
        graph = _trace(encoder, example)
        _make_foldable(graph)
        store.bind(graph, set(encoder.state_dict()))
        _describe(graph, {**encoder.properties(example), "weights": digest})
        with whole_file(folder / name) as partial:
            partial.write_bytes(graph.SerializeToString())
            differences[name] = _compare(partial, name, encoder, size)
    return differences


class _ImageEncoder(nn.Module):
    inputs = ("pixel_values",)
    outputs = ("patches", "pooled")
    dynamic = ({0: "batch"},)

    def __init__(self, model: TierModel):
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        features = self.model.encode_images(pixel_values)
        return features.patches, features.pooled

    def example(self, n: int, size: int) -> tuple[Tensor, ...]:
        return (torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(n)),)

    def properties(self, example: tuple[Tensor, ...]) -> dict[str, str]:
        with torch.no_grad():
            h, w = self.model.encode_images(example[0]).grid
        return {"grid": f"{h}x{w}"}


class _TextEncoder(nn.Module):
    inputs = ("input_ids", "attention_mask")
    outputs = ("tokens", "pooled")
    dynamic = ({0: "batch", 1: "sequence"}, {0: "batch", 1: "sequence"})

    def __init__(self, model: TierModel):
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        features = self.model.encode_texts(input_ids, attention_mask)
        return features.tokens, features.pooled

    def example(self, n: int, size: int) -> tuple[Tensor, ...]:
        length = min(9 + 3 * n, self.model.config.max_tokens)
        vocabulary = self.model.text_tower.config.vocab_size
        generator = torch.Generator().manual_seed(n)
        ids = torch.randint(0, vocabulary, (n, length), generator=generator)
        # Rows of different lengths, so that the comparison sees padding.
        lengths = torch.arange(n).remainder(length - 2).neg() + length
        return ids, (torch.arange(length)[None] < lengths[:, None]).long()

    def properties(self, example: tuple[Tensor, ...]) -> dict[str, str]:
        return {}


class _Store:
    """Finds the tensors of model.safetensors by content, regardless of their names in the graph."""

    def __init__(self, path: Path):
        layout = read_layout(path)
        self._path = path
        self._tensors: dict[tuple[str, tuple[int, ...], str], list[StoredTensor]] = {}
        for name, digest in tensor_digests(path, layout).items():
            tensor = layout[name]
            self._tensors.setdefault((tensor.dtype, tensor.shape, digest), []).append(tensor)

    def bind(self, graph: Any, weights: set[str]) -> None:
        """Replace every weight of the graph by a reference into the file, casting fp16 to fp32."""
        import onnx
        from onnx import numpy_helper

        kept, casts, lost = [], [], []
        for initializer in graph.graph.initializer:
            array = numpy_helper.to_array(initializer)
            stored = self._find(array, initializer.name)
            if stored is not None:
                reference, cast = self._reference(onnx, initializer.name, stored)
                kept.append(reference)
                casts += cast
            elif (initializer.name in weights and array.dtype.kind == "f") or array.nbytes > _MOST_INLINE:
                lost.append(initializer.name)
            else:
                kept.append(initializer)
        if lost:
            raise CheckpointError(
                f"the file does not contain the graph's tensors {', '.join(sorted(lost)[:20])}",
                where=str(self._path),
                remedy="save the checkpoint again, or use --engine torch",
            )
        nodes = [*casts, *graph.graph.node]
        for field, content in (("initializer", kept), ("node", nodes)):
            graph.graph.ClearField(field)
            getattr(graph.graph, field).extend(content)

    def _find(self, array: np.ndarray[Any, Any], name: str) -> StoredTensor | None:
        if array.dtype != np.float32:
            return None
        for dtype, (numpy_type, _) in _STORED.items():
            with np.errstate(over="ignore"):
                cast = np.ascontiguousarray(array.astype(numpy_type))
            # A lossy cast gives another number, even if the file contains that number by chance.
            if np.array_equal(cast.astype(np.float32), array):
                digest = hashlib.sha256(cast.tobytes()).hexdigest()
                found = self._tensors.get((dtype, tuple(array.shape), digest))
                if found:
                    # Of several tensors with equal content, prefer the one of this name.
                    return next((tensor for tensor in found if name.endswith(tensor.name)), found[0])
        return None

    def _reference(self, onnx: Any, name: str, stored: StoredTensor) -> tuple[Any, list[Any]]:
        half = stored.dtype == "F16"
        tensor = onnx.TensorProto(name=f"{name}.stored" if half else name, dims=stored.shape)
        tensor.data_type = getattr(onnx.TensorProto, _STORED[stored.dtype][1])
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (
            ("location", self._path.name),
            ("offset", stored.offset),
            ("length", stored.length),
        ):
            tensor.external_data.add(key=key, value=str(value))
        if not half:
            return tensor, []
        return tensor, [onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT)]


def _trace(encoder: Any, example: tuple[Tensor, ...]) -> Any:
    """Trace the encoder into an ONNX model, without folding or fusing weights."""
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            encoder.eval(),
            example,
            dynamo=True,
            optimize=False,
            opset_version=_OPSET,
            input_names=list(encoder.inputs),
            output_names=list(encoder.outputs),
            dynamic_shapes=encoder.dynamic,
            verbose=False,
        )
    if program is None:
        raise CheckpointError(
            "torch returned no graph", remedy="install the versions in constraints.txt and export again"
        )
    return program.model_proto


def _make_foldable(graph: Any) -> None:
    """Replace every CastLike by the Cast it stands for.

    onnxruntime folds a Cast of a constant but not a CastLike. torch writes one before every bias of zeros and
    every bound of a Clip, and a convolution merges with its normalisation only where its bias is a constant.
    """
    import onnx

    typed = [*graph.graph.value_info, *graph.graph.input, *graph.graph.output]
    types = {value.name: value.type.tensor_type.elem_type for value in typed}
    for node in graph.graph.node:
        if node.op_type == "CastLike" and types.get(node.input[1]):
            node.attribute.append(onnx.helper.make_attribute("to", types[node.input[1]]))
            node.op_type = "Cast"
            del node.input[1]


def _describe(graph: Any, properties: dict[str, str]) -> None:
    # torch records the source line behind every node, with the paths of the machine that exported it.
    parts = [graph, graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.graph.initializer]
    parts += [*graph.graph.input, *graph.graph.output, *graph.functions]
    for function in graph.functions:
        parts += [*function.node, *function.value_info]
    for part in parts:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for key, value in properties.items():
        graph.metadata_props.add(key=key, value=value)


def _compare(path: Path, graph: str, encoder: Any, size: int) -> float:
    from tier_cli.model.onnx_engine import open_session

    session = open_session(path, threads=torch.get_num_threads())
    worst = 0.0
    for n in (1, 3):  # not the batch it was traced with
        example = encoder.example(n, size)
        with torch.no_grad():
            references = [tensor.numpy() for tensor in encoder(*example)]
        feed = {name: tensor.numpy() for name, tensor in zip(encoder.inputs, example, strict=True)}
        for name, actual, expected in zip(
            encoder.outputs, session.run(list(encoder.outputs), feed), references, strict=True
        ):
            if expected.size == 0 and actual.shape == expected.shape:
                continue  # no patches
            difference = float(np.abs(actual - expected).max() / np.abs(expected).max())
            if not difference <= TOLERANCE:  # also refuses NaN
                raise CheckpointError(
                    f"'{name}' differs from torch by {difference:.1e}, more than {TOLERANCE:.0e}",
                    where=graph,
                    remedy="use --engine torch and report the versions `tier doctor` shows",
                )
            worst = max(worst, difference)
    return worst


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the log and the internal warnings of the exporter."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
