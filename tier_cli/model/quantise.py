"""Write the image graph of a checkpoint with int8 weights and activations, by static quantisation."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import CheckpointError
from tier_cli.files.hashes import file_hash
from tier_cli.model.checkpoint import CONFIG, IMAGE_GRAPH, TEXT_GRAPH, WEIGHTS, read_json, write_json
from tier_cli.model.onnx_engine import fold_constants
from tier_cli.model.weights import read_layout

if TYPE_CHECKING:
    from tier_cli.model.checkpoint import Checkpoint

# The operators that hold nearly all of the work of an image tower.
_LAYERS = ("Conv", "MatMul", "Gemm")
_PREFIX = "int8."


def quantise(
    checkpoint: Checkpoint, images: Sequence[NDArray[np.float32]], folder: Path, float_layers: int
) -> dict[str, int]:
    """Write int8 weights, both graphs and the configuration into `folder`, a copy without weights and graphs.

    Weights get 7 bits and a scale per channel: with 8, processors without VNNI instructions would overflow
    and give other scores. Activations get 8 bits over their mean range in the images (Jacob et al., CVPR
    2018).

    Parameters
    ----------
    checkpoint
        With float weights and an image graph.
    images
        Prepared images (3, S, S), which give the ranges of the activations.
    folder
        Becomes a checkpoint with onnxruntime as its only engine, once its checksums are written.
    float_layers
        The number of first layers that stay in float: their errors grow on the way through the others.

    Returns
    -------
    dict
        How many ``layers`` there are, and how many of them stay in float (``float_layers``).

    Raises
    ------
    CheckpointError
        The graph is missing or cannot be quantised.
    """
    import onnx

    for graph in (IMAGE_GRAPH, TEXT_GRAPH):
        if not (checkpoint.path / graph).is_file():
            raise CheckpointError(
                f"no {graph}", where=str(checkpoint.path), remedy="write it with `tier model export`"
            )
    with tempfile.TemporaryDirectory() as scratch:
        plain, small = Path(scratch) / "plain.onnx", Path(scratch) / "int8.onnx"
        properties = fold_constants(checkpoint.path / IMAGE_GRAPH, plain)
        layers = [node.name for node in onnx.load(plain).graph.node if node.op_type in _LAYERS]
        _static(plain, small, images, layers[:float_layers], checkpoint)
        image = onnx.load(small)
    text = onnx.load(checkpoint.path / TEXT_GRAPH, load_external_data=False)
    names = _stored_names(checkpoint.path, text)
    _write_weights(checkpoint.path, folder / WEIGHTS, image, names)
    digest, layout = file_hash(folder / WEIGHTS), read_layout(folder / WEIGHTS)
    for tensor in image.graph.initializer:
        if _is_learned(tensor):
            tensor.ClearField("raw_data")
            _refer(tensor, layout[_PREFIX + tensor.name])
    for tensor in text.graph.initializer:
        if tensor.name in names:
            _refer(tensor, layout[names[tensor.name]])
    for name, model in ((IMAGE_GRAPH, image), (TEXT_GRAPH, text)):
        known = properties if name == IMAGE_GRAPH else {}
        onnx.helper.set_model_props(model, {**known, "weights": digest})
        (folder / name).write_bytes(model.SerializeToString())
    facts = {"layers": len(layers), "float_layers": min(float_layers, len(layers))}
    made_from = {"name": checkpoint.name, "weights": checkpoint.hashes["weights"]}
    write_json(folder / CONFIG, {**read_json(checkpoint.path / CONFIG), "quantised": {**made_from, **facts}})
    return facts


def _static(
    plain: Path, small: Path, images: Sequence[NDArray[np.float32]], left: list[str], checkpoint: Checkpoint
) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(images)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            image = next(self._left, None)
            return None if image is None else {"pixel_values": image[None]}

    try:
        with _quiet():
            quantize_static(
                str(plain), str(small), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, reduce_range=True,
                nodes_to_exclude=left, extra_options={"CalibMovingAverage": True},
            )  # fmt: skip
    except Exception as error:
        raise CheckpointError(
            f"onnxruntime cannot quantise the graph ({type(error).__name__})",
            where=str(checkpoint.path / IMAGE_GRAPH),
            remedy="use the checkpoint as it is",
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the advice that onnxruntime logs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _stored_names(source: Path, text: Any) -> dict[str, str]:
    """Return which tensor of the weight file each initializer of the text graph refers to."""
    by_offset = {
        tensor.offset: name for name, tensor in read_layout(source / WEIGHTS).items() if tensor.length
    }
    names = {}
    for tensor in text.graph.initializer:
        where = {entry.key: entry.value for entry in tensor.external_data}
        if where:
            names[tensor.name] = by_offset[int(where["offset"])]
    return names


def _write_weights(source: Path, output: Path, image: Any, names: dict[str, str]) -> None:
    """Write the int8 tensors of the image graph, and those of the source outside its image tower."""
    from onnx import numpy_helper
    from safetensors import safe_open
    from safetensors.numpy import save_file

    tensors = {
        _PREFIX + tensor.name: numpy_helper.to_array(tensor)
        for tensor in image.graph.initializer
        if _is_learned(tensor)
    }
    with safe_open(str(source / WEIGHTS), framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 - not a dict
            if name in names.values() or not name.startswith("image_"):
                tensors[name] = file.get_tensor(name)
    save_file(tensors, output, {"format": "pt"})
    output.chmod(0o644)


def _is_learned(tensor: Any) -> bool:
    """Return whether a tensor belongs into the weight file, whose hash is the model's identity."""
    import onnx

    # Shapes and axes stay in the graph: onnxruntime needs their values early.
    return bool(tensor.data_type != onnx.TensorProto.INT64)


def _refer(tensor: Any, stored: Any) -> None:
    """Make an initializer refer to bytes of the weight file."""
    import onnx

    for field in ("external_data", "float_data", "int32_data"):
        tensor.ClearField(field)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", WEIGHTS), ("offset", stored.offset), ("length", stored.length)):
        tensor.external_data.add(key=key, value=str(value))
