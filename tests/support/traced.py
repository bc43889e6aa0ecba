"""Trace each architecture once per test session: tracing a graph takes seconds, even for a tiny model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest


def reuse_traces(patch: pytest.MonkeyPatch) -> None:
    """Let `export_graphs` take the graph of an equal architecture, filled with the weights at hand.

    Everything else about an export stays real: the weights are bound to the file, and the outputs are
    compared with torch, which would find a graph that does not belong to the model.
    """
    from tier_cli.model import export

    trace: Callable[..., Any] = export._trace
    graphs: dict[str, Any] = {}

    def traced(encoder: Any, example: tuple[Any, ...]) -> Any:
        weights = encoder.state_dict()
        key = json.dumps(
            [
                type(encoder).__name__,
                [list(tensor.shape) for tensor in example],
                {name: list(tensor.shape) for name, tensor in weights.items()},
                {k: v for k, v in encoder.model.config.to_dict().items() if k != "_name_or_path"},
            ],
            sort_keys=True,
        )
        if key not in graphs:
            graphs[key] = trace(encoder, example)
        return _with_weights(graphs[key], weights)

    patch.setattr(export, "_trace", traced)


def _with_weights(graph: Any, weights: dict[str, Any]) -> Any:
    from onnx import numpy_helper

    copy = type(graph)()
    copy.CopyFrom(graph)
    for initializer in copy.graph.initializer:
        if initializer.name in weights:
            array = weights[initializer.name].detach().cpu().numpy()
            initializer.CopyFrom(numpy_helper.from_array(array, initializer.name))
    return copy
