"""Locate the cache folder."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path | None:
    """Return the cache folder, existing or not: TIER_CACHE_DIR, else the platform's; None without a home."""
    return _root("TIER_CACHE_DIR", "user_cache_dir")


def data_root() -> Path | None:
    """Return the data folder, existing or not: TIER_DATA_DIR, else the platform's; None without a home.

    It holds downloaded models, which, unlike a cache, are not restored automatically.
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
    """Return the cache folder, created if missing; None if it cannot be written, so do without a cache."""
    folder = cache_root()
    if folder is None:
        return None
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Permission bits do not reveal read-only mounts or full disks; creating a file does.
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None
