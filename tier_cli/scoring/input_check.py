"""Measure how far an image embedding lies from those of frontal chest X-rays; read and write the measure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import CheckpointError
from tier_cli.scoring.adaptation import unit
from tier_cli.scoring.products import row_products

INPUT_CHECK = "input_check.safetensors"
_TENSORS = ("chests_mean", "chests_factor", "altered_mean", "altered_factor")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class InputCheckKey:
    """The facts that an input check and the checkpoint that uses it must share.

    Parameters
    ----------
    weights, preprocessing
        Hashes of the weights and of the preprocessing.
    """

    weights: str
    preprocessing: str


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A normal distribution of image embeddings.

    Parameters
    ----------
    mean
        (D,)
    factor
        (D, D); `factor @ factor.T` is the inverse of the covariance.
    """

    mean: Floats
    factor: Floats

    def distance(self, images: Floats) -> Floats:
        """Return the squared Mahalanobis distance (N,) of embeddings (N, D)."""
        squared: Floats = np.square(row_products(images - self.mean, self.factor.T)).sum(axis=1)
        return squared


@dataclass(frozen=True, eq=False)
class InputCheck:
    """Tell frontal chest X-rays from other images, by the direction of the image embedding.

    Two measures complement each other. The squared Mahalanobis distance to chests (Lee et al., NeurIPS 2018)
    finds images of another kind. Its ratio to the distance to a broader distribution, which turned and
    inverted chests belong to as well, finds these; compare the relative distance of Ren et al. (2021).

    Parameters
    ----------
    chests, altered
        The distributions of chests, and of chests together with turned and inverted ones.
    distance, ratio
        The highest distance to `chests`, and the highest ratio of both distances, that pass.
    hash
        SHA-256 (hex) of the file.

    Examples
    --------
    The distance from the mean, 2, is divided by the limit:

    >>> round_one = Gaussian(np.array([1.0, 0.0]), np.eye(2))
    >>> check = InputCheck(round_one, round_one, distance=4.0, ratio=10.0)
    >>> check.score(np.array([[0.0, 7.0]])).round(3).tolist()
    [0.5]
    """

    chests: Gaussian
    altered: Gaussian
    distance: float
    ratio: float
    hash: str = ""

    def score(self, pooled: NDArray[np.floating]) -> Floats:
        """Return how often each embedding (N, D), of any length, reaches the nearer limit: above 1 fails.

        Not finite where an embedding is zero or not finite.
        """
        images = unit(pooled)
        far = self.chests.distance(images)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = far / self.altered.distance(images)
        scores: Floats = np.maximum(far / self.distance, ratio / self.ratio)
        return scores


def read_input_check(folder: Path, key: InputCheckKey, width: int) -> tuple[InputCheck | None, str]:
    """Read a checkpoint folder's input check if it was fitted for `key`.

    Parameters
    ----------
    folder, key
        The folder, and the facts that the check must share.
    width
        D, the length of the checkpoint's image embeddings.

    Returns
    -------
    The check or None, and a note if there is a check that was fitted for something else.

    Raises
    ------
    CheckpointError
        If the file is not valid.
    """
    path = folder / INPUT_CHECK
    if not path.is_file():
        return None, ""
    raw, facts = _facts(path)
    others = [name for name, value in asdict(key).items() if facts.get("key", {}).get(name) != value]
    if others:
        return None, f"images are not checked: the input check was fitted for other {' and '.join(others)}"
    return _tensors(path, raw, facts, width), ""


def input_check_facts(folder: Path) -> dict[str, Any] | None:
    """Return what a checkpoint folder records about its input check; None without one.

    Raises
    ------
    CheckpointError
        If the file is not valid.
    """
    path = folder / INPUT_CHECK
    return _facts(path)[1] if path.is_file() else None


def write_input_check(folder: Path, check: InputCheck, key: InputCheckKey, facts: Mapping[str, Any]) -> None:
    """Write the check; `facts` describe the fit."""
    from safetensors.numpy import save

    tensors = dict(
        zip(
            _TENSORS,
            (check.chests.mean, check.chests.factor, check.altered.mean, check.altered.factor),
            strict=True,
        )
    )
    content = {
        "version": 1,
        "key": asdict(key),
        "limits": {"distance": check.distance, "ratio": check.ratio},
        **facts,
    }
    single = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()}
    (folder / INPUT_CHECK).write_bytes(save(single, metadata={"input_check": json.dumps(content)}))


def _facts(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of the file and the JSON of its header."""
    try:
        raw = path.read_bytes()
        # Eight bytes hold the length of the JSON header (the safetensors format).
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        facts = json.loads(header["__metadata__"]["input_check"])
        if not isinstance(facts, dict) or not isinstance(facts["key"], dict):
            raise _invalid(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _invalid(path) from error
    return raw, facts


def _tensors(path: Path, raw: bytes, facts: Mapping[str, Any], width: int) -> InputCheck:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = {name: tensor.astype(np.float64) for name, tensor in load(raw).items()}
        mean, factor, altered_mean, altered_factor = (tensors[name] for name in _TENSORS)
        distance, ratio = (float(facts["limits"][name]) for name in ("distance", "ratio"))
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise _invalid(path) from error
    shapes_agree = mean.shape == altered_mean.shape == (width,)
    shapes_agree &= factor.shape == altered_factor.shape == (width, width)
    finite = all(np.isfinite(x).all() for x in (mean, factor, altered_mean, altered_factor))
    if not (shapes_agree and finite and 0 < distance < math.inf and 0 < ratio < math.inf):
        raise _invalid(path)
    digest = hashlib.sha256(raw).hexdigest()
    return InputCheck(Gaussian(mean, factor), Gaussian(altered_mean, altered_factor), distance, ratio, digest)


def _invalid(path: Path) -> CheckpointError:
    return CheckpointError(
        "is not a valid input check", where=str(path), remedy="fit it again with `tier model input-check`"
    )
