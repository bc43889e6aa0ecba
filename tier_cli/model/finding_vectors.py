"""Look up finding vectors in the checkpoint or the cache, or compute them with the text tower."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.files.atomic import whole_file
from tier_cli.files.caches import cache_dir
from tier_cli.findings.check import raise_first
from tier_cli.findings.vectors import FindingVectors, embed_findings
from tier_cli.model.checkpoint import VECTORS, canonical_hash
from tier_cli.model.prompts import prompt_problems

if TYPE_CHECKING:
    from tier_cli.findings.schema import FindingSet
    from tier_cli.model.checkpoint import Checkpoint
    from tier_cli.model.engine import Engine

# How prompts become one vector; part of the key, so that another method never reads these vectors.
POOLING = "mean of unit [CLS] projections, normalised"
# Configuration fields that affect the vector of a prompt, with the values that POOLING stands for.
_USUAL = {
    "text_pooling": "first",
    "text_head": "mlp",
    "end_token": None,
    "text_padding": "longest",
    "text_mask": True,
    "strip": "",
    "prompt_average": "unit",
    "text_cleaning": "none",
}


def finding_vectors(
    checkpoint: Checkpoint, findings: FindingSet, engine_factory: Callable[[], Engine]
) -> FindingVectors:
    """Return the vectors of a finding set for a checkpoint.

    Parameters
    ----------
    checkpoint, findings
        The vectors depend on the weights of the one and the prompts of the other.
    engine_factory
        Called only when the vectors are neither stored with the checkpoint nor cached.

    Raises
    ------
    FindingSetError
        The text tower cannot read a prompt, see `tier_cli.model.prompts`.
    """
    key = vectors_key(checkpoint, findings)
    shape = (len(findings.findings), int(checkpoint.config.get("projection_dim", 128)))
    # Those of the checkpoint are in its checksums.json.
    stored = _read(checkpoint.path / VECTORS, key, shape, hashed=False)
    if stored is not None:
        return stored
    raise_first(prompt_problems(checkpoint, findings), findings.name)
    cache = cache_dir()
    cached = None if cache is None else cache / "vectors" / f"{key}.safetensors"
    if cached is not None:
        vectors = _read(cached, key, shape, hashed=True)
        if vectors is not None:
            return vectors
    vectors = embed_prompts(checkpoint, findings, engine_factory())
    if cached is not None:
        # If the cache is full, they are computed again next time.
        with contextlib.suppress(OSError):
            _write(cached, {key: vectors})
    return vectors


def store_vectors(checkpoint: Checkpoint, sets: Iterable[FindingSet], engine: Engine) -> None:
    """Write the vectors of several finding sets into the checkpoint folder, replacing existing ones."""
    entries = {vectors_key(checkpoint, fs): embed_prompts(checkpoint, fs, engine) for fs in sets}
    _write(checkpoint.path / VECTORS, entries)


def carry_vectors(source: Checkpoint, copy: Checkpoint, sets: Iterable[FindingSet]) -> None:
    """Write those vectors of finding sets that `source` stores into a copy with the same text tower."""
    shape = int(source.config.get("projection_dim", 128))
    entries = {}
    for findings in sets:
        key = vectors_key(source, findings)
        found = _read(source.path / VECTORS, key, (len(findings.findings), shape), hashed=False)
        if found is not None:
            entries[vectors_key(copy, findings)] = found
    if entries:
        _write(copy.path / VECTORS, entries)


def embed_prompts(checkpoint: Checkpoint, findings: FindingSet, engine: Engine) -> FindingVectors:
    """Compute the vectors of a finding set, averaging prompts as the checkpoint specifies."""
    as_projected = checkpoint.config.get("prompt_average") == "projection"
    return embed_findings(findings, engine.project_texts if as_projected else engine.embed_texts)


def vectors_key(checkpoint: Checkpoint, findings: FindingSet) -> str:
    """Return the SHA-256 of everything that the vectors depend on.

    That is weights, tokenizer, text length, prompts and pooling.
    """
    return canonical_hash(
        {
            "weights": checkpoint.hashes["weights"],
            "tokenizer": checkpoint.hashes["tokenizer"],
            "max_tokens": checkpoint.max_tokens,
            "prompts": [[list(finding.positive), list(finding.negative)] for finding in findings.findings],
            "pooling": _pooling(checkpoint.config),
        }
    )


def _pooling(config: dict[str, Any]) -> Any:
    unusual = {name: config[name] for name, usual in _USUAL.items() if config.get(name, usual) != usual}
    return unusual or POOLING


def _read(path: Path, key: str, shape: tuple[int, int], *, hashed: bool) -> FindingVectors | None:
    """Return the vectors stored under a key; None if they are missing, invalid or not those of their hash."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            if f"{key}.positive" not in file.keys():  # noqa: SIM118 - not a dict
                return None
            sides = [file.get_tensor(f"{key}.{side}") for side in ("positive", "negative")]
            digest = (file.metadata() or {}).get(f"{key}.sha256")
    except (OSError, SafetensorError):
        return None
    if hashed and digest != _digest(sides):
        return None
    return FindingVectors(*sides) if all(_valid(side, shape) for side in sides) else None


def _digest(sides: Sequence[NDArray[np.float32]]) -> str:
    digest = hashlib.sha256()
    for side in sides:
        digest.update(side.tobytes())
    return digest.hexdigest()


def _valid(side: Any, shape: tuple[int, int]) -> bool:
    return bool(
        side.shape == shape
        and side.dtype == np.float32
        and np.allclose(np.linalg.norm(side, axis=1), 1.0, atol=1e-3)
    )


def _write(path: Path, entries: dict[str, FindingVectors]) -> None:
    from safetensors.numpy import save

    tensors, digests = {}, {}
    for key, vectors in entries.items():
        digests[f"{key}.sha256"] = _digest([vectors.positive, vectors.negative])
        tensors[f"{key}.positive"], tensors[f"{key}.negative"] = vectors.positive, vectors.negative
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_bytes(save(tensors, digests))
