"""Open a checkpoint with the engine that fits the device: onnxruntime on CPU, torch elsewhere."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.errors import UsageError, did_you_mean
from tier_cli.model.checkpoint import IMAGE_GRAPH, TEXT_GRAPH, refuse_quantised
from tier_cli.model.engine import DEVICES, ENGINES
from tier_cli.packages import require_extras

if TYPE_CHECKING:
    from tier_cli.model.checkpoint import Checkpoint
    from tier_cli.model.engine import Engine


def open_engine(
    checkpoint: Checkpoint, engine: str = "auto", device: str = "auto", threads: int | None = None
) -> Engine:
    """Open a checkpoint for computing.

    Parameters
    ----------
    checkpoint
        From `open_checkpoint`.
    engine
        ``onnx``, ``torch``, or ``auto``: onnx on CPU and for int8 weights, torch on an accelerator or without
        ONNX graphs.
    device
        ``cpu``, ``cuda``, ``mps``, or ``auto``: cuda if available, else cpu.
    threads
        CPU threads; by default all that this process may use.

    Raises
    ------
    UsageError
        A name is unknown, engine and device do not fit, the device is not available, or torch is missing.
    CheckpointError
        Int8 weights are to be computed by torch.
    """
    _check(engine, device)
    if checkpoint.is_quantised:
        if engine == "torch" or device not in ("auto", "cpu"):
            refuse_quantised(checkpoint.path, checkpoint.config)
        return _onnx(checkpoint, threads)
    on_cpu = device == "cpu" or (device == "auto" and not _may_have_cuda())
    if engine == "onnx" or (engine == "auto" and on_cpu and has_graphs(checkpoint.path)):
        return _onnx(checkpoint, threads)
    if engine == "torch":
        require_extras("the torch engine", "torch")
    require_extras("a checkpoint without ONNX graphs" if on_cpu else f"device '{device}'", "torch")
    from tier_cli.model.torch_engine import TorchEngine, pick_device

    chosen = "cpu" if on_cpu else pick_device(device)
    if engine == "auto" and chosen == "cpu" and has_graphs(checkpoint.path):
        return _onnx(checkpoint, threads)
    return TorchEngine(checkpoint, chosen, threads)


def _onnx(checkpoint: Checkpoint, threads: int | None) -> Engine:
    from tier_cli.model.onnx_engine import OnnxEngine

    return OnnxEngine(checkpoint, threads)


def _check(engine: str, device: str) -> None:
    for what, name, known in (("engine", engine, ENGINES), ("device", device, DEVICES)):
        if name not in known:
            raise UsageError(
                f"unknown {what} '{name}'{did_you_mean(name, known)}", remedy=f"use one of {', '.join(known)}"
            )
    if engine == "onnx" and device not in ("auto", "cpu"):
        raise UsageError(f"the onnx engine does not run on '{device}'", remedy="use --engine torch")


def has_graphs(folder: Path) -> bool:
    """Return whether a checkpoint folder holds both ONNX graphs."""
    return (folder / IMAGE_GRAPH).is_file() and (folder / TEXT_GRAPH).is_file()


def _may_have_cuda() -> bool:
    """Return whether a GPU driver is present and visible, so that loading torch to ask is worthwhile."""
    if find_spec("torch") is None:
        return False
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvcuda.dll").is_file()
    return any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))
