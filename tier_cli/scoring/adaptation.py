"""Linear corrections of scores, fitted on a few labelled images: stored beside the weights, or none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import CheckpointError

ADAPTATION = "adaptation.json"
TENSORS = "adaptation.safetensors"
NOT_ADAPTED = "the adaptation is for other "
_NAMES = ("weights", "bias", "mix")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AdaptationKey:
    """What an adaptation was fitted for.

    Parameters
    ----------
    weights, prompts
        Hashes of the weights and of the finding set.
    rendering, scoring
        The checkpoint's rendering of pixels and its rule of scoring.
    """

    weights: str
    prompts: str
    rendering: str
    scoring: str


@dataclass(frozen=True, eq=False)
class Adaptation:
    """A linear score a finding, and how much of it is mixed in.

    Parameters
    ----------
    weights
        (F, D), for image embeddings of length 1.
    bias, mix
        (F,); `mix` in [0, 1]: 0 leaves the checkpoint's own score, 1 takes the linear one alone.
    method
        How it was fitted: ``gda``.
    hash
        SHA-256 (hex) of the file that holds it.
    """

    weights: Floats
    bias: Floats
    mix: Floats
    method: str
    hash: str = ""

    def apply(self, pooled: NDArray[np.floating], scores: Floats) -> Floats:
        """Mix the linear scores of embeddings (N, D), of any length, into scores (N, F)."""
        linear = unit(pooled) @ self.weights.T + self.bias
        mixed: Floats = (1 - self.mix) * scores + self.mix * linear
        return mixed


def unit(pooled: NDArray[np.floating]) -> Floats:
    """Give embeddings (N, D) the length 1; not finite where one is zero or not finite."""
    images = np.asarray(pooled, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        scaled: Floats = images / np.linalg.norm(images, axis=1, keepdims=True)
    return scaled


def read_adaptation(folder: Path, key: AdaptationKey) -> tuple[Adaptation | None, str]:
    """Read a checkpoint folder's adaptation and decide whether it holds for `key`.

    Returns
    -------
    The adaptation, or None; and a note where there is one that does not hold.

    Raises
    ------
    CheckpointError
        Where the files make no sense.
    """
    path = folder / ADAPTATION
    if not path.is_file():
        return None, ""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        fitted, method = dict(content["key"]), str(content["method"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _senseless(path) from error
    others = [name for name, value in asdict(key).items() if fitted.get(name) != value]
    if others:
        return None, f"{NOT_ADAPTED}{' and '.join(others)}: scores are without it"
    return _tensors(folder / TENSORS, method), ""


def write_adaptation(
    folder: Path, adaptation: Adaptation, key: AdaptationKey, facts: Mapping[str, Any]
) -> None:
    """Write both files; `facts` say what it was fitted on."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(getattr(adaptation, name), np.float32) for name in _NAMES}
    (folder / TENSORS).write_bytes(save(tensors))
    content = {"version": 1, "method": adaptation.method, "key": asdict(key), **facts}
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (folder / ADAPTATION).write_text(text, encoding="utf-8")


def _tensors(path: Path, method: str) -> Adaptation:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        raw = path.read_bytes()
        tensors = {name: tensor.astype(np.float64) for name, tensor in load(raw).items()}
        weights, bias, mix = (tensors[name] for name in _NAMES)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise _senseless(path) from error
    alike = weights.ndim == 2 and bias.shape == mix.shape == weights.shape[:1]
    if not alike or not all(np.isfinite(x).all() for x in (weights, bias, mix)):
        raise _senseless(path)
    return Adaptation(weights, bias, mix, method, hashlib.sha256(raw).hexdigest())


def _senseless(path: Path) -> CheckpointError:
    return CheckpointError("makes no sense", where=str(path), remedy="adapt again with `tier adapt`")
