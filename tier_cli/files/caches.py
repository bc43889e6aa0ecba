"""Locate the cache folder."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_root() -> Path | None:
    """Return the cache folder, existing or not: TIER_CACHE_DIR, else the platform's; None without a home."""
    named = os.environ.get("TIER_CACHE_DIR")
    if named:
        return Path(named)
    import platformdirs

    try:
        folder = Path(platformdirs.user_cache_dir("tier-cli", appauthor=False))
    except (OSError, RuntimeError):
        return None
    # Without a home folder, as in some containers, "~" stays as it is.
    return folder if folder.is_absolute() else None


def cache_dir() -> Path | None:
    """Return the cache folder, created if missing; None if it cannot be written, so do without a cache."""
    folder = cache_root()
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Permission bits do not reveal read-only mounts or full disks; creating a file does.
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None
