"""Hash files, and remember the hashes in the cache folder for as long as the files are the same."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tier_cli.files.atomic import whole_file
from tier_cli.files.caches import cache_dir

# A file that changed so recently may change again without a visible trace: clocks of file systems are coarse.
_SETTLED_NS = 2_000_000_000

# Device, inode, size, and the times of the last change of content and of the file in nanoseconds.
_Identity = tuple[int, int, int, int, int]


def file_hash(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 (hex) of files in a folder, by name; each is read once per identity of the file.

    Parameters
    ----------
    folder, names
        The folder, and names of files in it.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    memory = _memory_of(folder)
    known = _read(memory)
    found: dict[str, tuple[_Identity, str]] = {}
    for name in names:
        identity = _identity(folder / name)
        before = known.get(name)
        same = before is not None and before[0] == identity
        found[name] = before if before and same else (identity, file_hash(folder / name))
    settled = {name: one for name, one in found.items() if time.time_ns() - one[0][4] > _SETTLED_NS}
    if memory is not None and any(known.get(name) != one for name, one in settled.items()):
        _write(memory, settled)
    return {name: digest for name, (_, digest) in found.items()}


def _identity(path: Path) -> _Identity:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _memory_of(folder: Path) -> Path | None:
    cache = cache_dir()
    if cache is None:
        return None
    # Not by its path: a folder that is written aside and renamed stays the same folder.
    place = os.stat(folder)
    return cache / "hashes" / f"{place.st_dev:x}-{place.st_ino:x}.json"


def _read(memory: Path | None) -> dict[str, tuple[_Identity, str]]:
    """Return what is remembered; nothing if the file is missing or damaged."""
    if memory is None:
        return {}
    try:
        content = json.loads(memory.read_bytes())
        return {str(name): (_five(identity), str(digest)) for name, (*identity, digest) in content.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _five(numbers: list[int]) -> _Identity:
    device, inode, size, modified, changed = numbers
    return device, inode, size, modified, changed


def _write(memory: Path, found: dict[str, tuple[_Identity, str]]) -> None:
    # If the cache is full, the files are hashed again next time.
    with suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(memory) as partial:
            content = {name: [*identity, digest] for name, (identity, digest) in found.items()}
            partial.write_text(json.dumps(content), encoding="utf-8")
