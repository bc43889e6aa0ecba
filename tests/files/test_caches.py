"""The cache folder, and running without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tier_cli.files.caches import cache_dir, cache_root


def test_the_named_folder_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIER_CACHE_DIR", str(tmp_path / "a" / "b"))
    assert cache_dir() == tmp_path / "a" / "b"
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_the_platform_folder_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIER_CACHE_DIR", raising=False)
    root = cache_root()
    assert root is None or (root.is_absolute() and root.name == "tier-cli")


def test_an_unwritable_folder_is_not_used_as_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TIER_CACHE_DIR", str(tmp_path / "file"))
    assert cache_dir() is None


def test_no_home_means_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIER_CACHE_DIR", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *args, **kwargs: "~/.cache/tier-cli")
    assert cache_dir() is None
