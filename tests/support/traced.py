"""Trace each encoder architecture once per test run: tracing takes seconds, even for a tiny model."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def reuse_traces(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let `export_graphs` reuse the graph of an equal architecture, filled with the weights at hand.

    Everything else about an export stays real: the weights are bound to the file, and the outputs are
    compared with torch, which would reveal a graph that does not belong to the model.

    Parameters
    ----------
    patch
        Undoes the change.
    folder
        Keeps the graphs; processes may share it.
    """
    from tier_cli.model import export

    trace: Callable[..., Any] = export._trace

    def traced(encoder: Any, example: tuple[Any, ...]) -> Any:
        file = folder / f"{_architecture(encoder, example)}.onnx"
        if not file.is_file():
            graph = trace(encoder, example)
            partial = folder / f"{file.name}.{os.getpid()}"
            partial.write_bytes(graph.SerializeToString())
            partial.replace(file)
            return graph
        return _filled(file.read_bytes(), encoder.state_dict())

    patch.setattr(export, "_trace", traced)


def _architecture(encoder: Any, example: tuple[Any, ...]) -> str:
    """Hash everything that the graph of an encoder depends on, save the values of its weights."""
    from tier_cli.model.configuration import tower_config

    side = "image" if "pixel_values" in encoder.inputs else "text"
    config = {
        name: value
        for name, value in encoder.model.config.to_dict().items()
        if name.startswith(side) or name == "projection_dim" or (name == "end_token" and side == "text")
    }
    # With the defaults: some families write them out, others do not.
    config[f"{side}_tower"] = tower_config(config[f"{side}_tower"]).to_dict()
    shapes = [list(tensor.shape) for tensor in example]
    weights = {name: [str(t.dtype), *t.shape] for name, t in encoder.state_dict().items() if side in name}
    return hashlib.sha256(json.dumps([side, config, shapes, weights], sort_keys=True).encode()).hexdigest()


def _filled(content: bytes, weights: dict[str, Any]) -> Any:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_model_from_string(content)
    for initializer in graph.graph.initializer:
        if initializer.name in weights:
            array = weights[initializer.name].detach().cpu().numpy()
            initializer.CopyFrom(numpy_helper.from_array(array, initializer.name))
    return graph
