"""Where the project may keep things between runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_root() -> Path | None:
    """The cache folder, there or not: ``TIER_CACHE_DIR``, else the platform's; None without a home."""
    return _root("TIER_CACHE_DIR", "user_cache_dir")


def data_root() -> Path | None:
    """Return the data folder, there or not: ``TIER_DATA_DIR``, else the platform's; None without a home.

    Unlike the cache, nothing in it is made again by itself: downloaded models are here.
    """
    return _root("TIER_DATA_DIR", "user_data_dir")


def _root(variable: str, kind: str) -> Path | None:
    named = os.environ.get(variable)
    if named:
        return Path(named)
    import platformdirs

    try:
        folder = Path(getattr(platformdirs, kind)("tier-cli", appauthor=False))
    except (OSError, RuntimeError):
        return None
    # Without a home folder, as in some containers, "~" stays as it is.
    return folder if folder.is_absolute() else None


def cache_dir() -> Path | None:
    """The cache folder, made if need be; None where it cannot be written, which means: do without."""
    folder = cache_root()
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Permission bits do not tell of read-only mounts and full disks; a file does.
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None
