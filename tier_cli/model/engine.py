"""What computes: onnxruntime on CPU, torch for everything else, one meaning."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import CheckpointError, UsageError
from tier_cli.model.checkpoint import IMAGE_GRAPH, TEXT_GRAPH

if TYPE_CHECKING:
    from tier_cli.model.checkpoint import Checkpoint

Array = NDArray[np.float32]
ENGINES = ("auto", "onnx", "torch")
DEVICES = ("auto", "cpu", "cuda", "mps")


class Engine(Protocol):
    """An opened model. Images are float32 (N, 3, S, S), as `Preprocessing` prepares them.

    Attributes
    ----------
    name
        ``onnx`` or ``torch``.
    device
        Where it computes, such as ``cpu`` or ``cuda``.
    """

    name: str
    device: str

    def encode_images(self, pixels: Array) -> Array:
        """Global image embeddings (N, D), not L2-normalised."""
        ...

    def patches(self, pixels: Array) -> tuple[Array, tuple[int, int]]:
        """Patch embeddings (N, P, D), not L2-normalised, and their grid (h, w), P = h * w.

        Raises `CheckpointError` where the image tower has no grid of patches.
        """
        ...

    def features(self, pixels: Array) -> tuple[Array, Array, tuple[int, int]]:
        """Give what `encode_images` and `patches` give, (N, D), (N, P, D) and the grid, in one pass."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Array:
        """Unit text embeddings (n, D)."""
        ...

    def project_texts(self, texts: Sequence[str]) -> Array:
        """Text embeddings (n, D), not L2-normalised."""
        ...


def open_engine(
    checkpoint: Checkpoint, engine: str = "auto", device: str = "auto", threads: int | None = None
) -> Engine:
    """Open a checkpoint for computing.

    Parameters
    ----------
    checkpoint
        From `open_checkpoint`.
    engine
        ``onnx``, ``torch``, or ``auto``: onnx on CPU, torch on an accelerator or where there are no graphs.
    device
        ``cpu``, ``cuda``, ``mps``, or ``auto``: cuda where there is one, else cpu.
    threads
        CPU threads; as many as this process may use by default.

    Raises
    ------
    UsageError
        If the names are unknown, do not go together, or the device is not there.
    """
    _check(engine, device)
    on_cpu = device == "cpu" or (device == "auto" and not _may_have_cuda())
    if engine == "onnx" or (engine == "auto" and on_cpu and _has_graphs(checkpoint.path)):
        return _onnx(checkpoint, threads)
    from tier_cli.model.torch_engine import TorchEngine, pick_device

    chosen = "cpu" if on_cpu else pick_device(device)
    if engine == "auto" and chosen == "cpu" and _has_graphs(checkpoint.path):
        return _onnx(checkpoint, threads)
    return TorchEngine(checkpoint, chosen, threads)


def no_patches(checkpoint: Checkpoint) -> CheckpointError:
    """The error of asking for patches where there are none."""
    return CheckpointError(
        "its image tower has no grid of patches: it classifies, but shows no places and trains no TIER",
        where=str(checkpoint.path),
        remedy="choose a checkpoint with patches, such as the bundled one",
    )


def usable_cpus() -> int:
    """The number of CPUs this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _onnx(checkpoint: Checkpoint, threads: int | None) -> Engine:
    from tier_cli.model.onnx_engine import OnnxEngine

    return OnnxEngine(checkpoint, threads)


def _check(engine: str, device: str) -> None:
    if engine not in ENGINES:
        raise UsageError(f"unknown engine '{engine}'", remedy=f"use one of {', '.join(ENGINES)}")
    if device not in DEVICES:
        raise UsageError(f"unknown device '{device}'", remedy=f"use one of {', '.join(DEVICES)}")
    if engine == "onnx" and device not in ("auto", "cpu"):
        raise UsageError(f"the onnx engine does not run on '{device}'", remedy="use --engine torch")


def _has_graphs(folder: Path) -> bool:
    return (folder / IMAGE_GRAPH).is_file() and (folder / TEXT_GRAPH).is_file()


def _may_have_cuda() -> bool:
    """Whether loading torch to ask for a GPU could pay off: a driver is there and not hidden."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvcuda.dll").is_file()
    return any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))
