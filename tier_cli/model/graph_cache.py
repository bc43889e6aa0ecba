"""Keep an optimised graph in the cache folder: opening it takes a third of the time of optimising it."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tier_cli.errors import CheckpointError
from tier_cli.files.atomic import create_private, whole_file
from tier_cli.files.caches import cache_dir
from tier_cli.files.hashes import file_hash
from tier_cli.model.runtime import onnxruntime_module

# Larger ones take as long to read and hash as to optimise, and fill the disk.
_MOST_BYTES = 1 << 27
# Files that are kept; older ones belong to models or versions that are no longer used.
_KEPT = 8
_DIGEST = hashlib.sha256().digest_size
_DIRECT = {"session.use_ort_model_bytes_directly": "1", "session.use_ort_model_bytes_for_initializers": "1"}


def open_cached(graph: Path, weights: Path, digest: str, session: Callable[[Path | bytes, Any], Any]) -> Any:
    """Open a graph optimised for this processor, from the cache folder if it is there, else write it there.

    Parameters
    ----------
    graph, weights, digest
        The graph, the file of its weights, and the SHA-256 of that.
    session
        Opens a graph given as a path or as bytes, with a function that changes the session's options.
    """
    folder = cache_dir() if weights.stat().st_size <= _MOST_BYTES else None
    key = _key(graph, digest)
    if folder is None or key is None:
        return session(graph, None)
    file = folder / "graphs" / f"{key}.ort"
    content = _read(file)
    if content is not None:
        with suppress(Exception):
            return session(content, _as_it_is)
    with suppress(OSError, CheckpointError), tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / "graph.ort"
        opened = session(graph, lambda options: setattr(options, "optimized_model_filepath", str(written)))
        # If the cache is full, the graph is optimised again next time.
        with suppress(OSError):
            _write(file, written.read_bytes())
        return opened
    return session(graph, None)


def _key(graph: Path, digest: str) -> str | None:
    """Return the SHA-256 of everything that an optimised graph depends on; None where that is unknown."""
    features = _features()
    if features is None:
        return None
    parts = (file_hash(graph), digest, onnxruntime_module().__version__, platform.machine(), features)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _features() -> str | None:
    """Return the instruction sets of the first processor; None where the system does not tell."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            lines = file.read(1 << 14).splitlines()
    except OSError:
        return None
    return next((line for line in lines if line.startswith(("flags", "Features"))), None)


def _as_it_is(options: Any) -> None:
    options.graph_optimization_level = onnxruntime_module().GraphOptimizationLevel.ORT_DISABLE_ALL
    for name, value in _DIRECT.items():
        options.add_session_config_entry(name, value)


def _read(file: Path) -> bytes | None:
    """Return a graph of this user that is as it was written; None for any other."""
    try:
        with file.open("rb") as opened:
            if hasattr(os, "getuid") and os.fstat(opened.fileno()).st_uid != os.getuid():
                return None
            digest, content = opened.read(_DIGEST), opened.read()
    except OSError:
        return None
    return content if hashlib.sha256(content).digest() == digest else None


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as partial, create_private(partial) as opened:
        opened.write(hashlib.sha256(content).digest() + content)
    known = sorted(file.parent.glob("*.ort"), key=lambda one: one.stat().st_mtime_ns, reverse=True)
    for old in known[_KEPT:]:
        old.unlink(missing_ok=True)
