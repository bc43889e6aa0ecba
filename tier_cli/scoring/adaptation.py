"""Apply, read and write linear corrections of scores that were fitted on a few labelled images."""

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
from tier_cli.model.checkpoint import read_json
from tier_cli.scoring.products import row_products

ADAPTATION = "adaptation.json"
TENSORS = "adaptation.safetensors"
_NOT_ADAPTED = "scores are not adapted: "
_NAMES = ("weights", "bias", "mix")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AdaptationKey:
    """The facts that an adaptation and the run that uses it must share.

    Parameters
    ----------
    weights, prompts
        Hashes of the weights and of the finding set.
    rendering, scoring
        The checkpoint's rendering of pixels and its scoring rule.
    """

    weights: str
    prompts: str
    rendering: str
    scoring: str


@dataclass(frozen=True, eq=False)
class Adaptation:
    """One linear score per finding, and its share in the mixed score.

    Parameters
    ----------
    weights
        (F, D), for image embeddings of length 1.
    bias, mix
        (F,); `mix` is in [0, 1]: 0 keeps the checkpoint's own score, 1 replaces it by the linear score.
    method
        How the linear scores were fitted: ``gda``.
    hash
        SHA-256 (hex) of the file that holds the tensors.

    Examples
    --------
    One finding, whose linear score is the first component of the embedding, mixed half and half:

    >>> adaptation = Adaptation(np.array([[1.0, 0.0]]), np.array([0.0]), np.array([0.5]), "gda")
    >>> adaptation.apply(np.array([[3.0, 4.0]]), np.array([[0.2]])).round(3).tolist()
    [[0.4]]
    """

    weights: Floats
    bias: Floats
    mix: Floats
    method: str
    hash: str = ""

    def apply(self, pooled: NDArray[np.floating], scores: Floats) -> Floats:
        """Mix the linear scores of image embeddings (N, D), of any length, into scores (N, F)."""
        linear = row_products(unit(pooled), self.weights) + self.bias
        mixed: Floats = (1 - self.mix) * scores + self.mix * linear
        return mixed


def unit(pooled: NDArray[np.floating]) -> Floats:
    """Scale embeddings (N, D) to length 1; rows that are zero or not finite become non-finite.

    Examples
    --------
    >>> unit(np.array([[3.0, 4.0]])).round(3).tolist()
    [[0.6, 0.8]]
    """
    images = np.asarray(pooled, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        scaled: Floats = images / np.linalg.norm(images, axis=1, keepdims=True)
    return scaled


def read_adaptation(folder: Path, key: AdaptationKey) -> tuple[Adaptation | None, str]:
    """Read a checkpoint folder's adaptation if it was fitted for `key`.

    Returns
    -------
    The adaptation or None, and a note if there is an adaptation that was fitted for something else.

    Raises
    ------
    CheckpointError
        If the files are not valid.
    """
    path = folder / ADAPTATION
    if not path.is_file():
        return None, ""
    try:
        content = read_json(path)
        fitted, method = dict(content["key"]), str(content["method"])
    except (ValueError, KeyError, TypeError) as error:
        raise _invalid(path) from error
    others = [name for name, value in asdict(key).items() if fitted.get(name) != value]
    if others:
        return None, f"{_NOT_ADAPTED}the adaptation does not match the {' and '.join(others)} of this run"
    return _tensors(folder / TENSORS, method), ""


def write_adaptation(
    folder: Path, adaptation: Adaptation, key: AdaptationKey, facts: Mapping[str, Any]
) -> None:
    """Write both files; `facts` are the fields of adaptation.json that describe the fit."""
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
        raise _invalid(path) from error
    shapes_agree = weights.ndim == 2 and bias.shape == mix.shape == weights.shape[:1]
    if not shapes_agree or not all(np.isfinite(x).all() for x in (weights, bias, mix)):
        raise _invalid(path)
    return Adaptation(weights, bias, mix, method, hashlib.sha256(raw).hexdigest())


def _invalid(path: Path) -> CheckpointError:
    return CheckpointError(
        "is not a valid adaptation", where=str(path), remedy="adapt again with `tier adapt`"
    )
