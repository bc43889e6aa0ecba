"""Hashes are remembered for as long as a file is the same, and never longer."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tier_cli.files import hashes
from tier_cli.files.hashes import file_hash, remembered_hashes

YEAR_NS = 365 * 86400 * 10**9


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read, in a folder whose files are a year old."""
    monkeypatch.setenv("TIER_CACHE_DIR", str(tmp_path / "cache"))
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + YEAR_NS)
    names: list[str] = []

    def counted(path: Path) -> str:
        names.append(path.name)
        return file_hash(path)

    monkeypatch.setattr(hashes, "file_hash", counted)
    return names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / name).write_text(name)
    return tmp_path / "in"


def test_a_file_is_read_once(folder: Path, read: list[str]) -> None:
    """A cold start must not read hundreds of megabytes each time."""
    first = remembered_hashes(folder, "ab")
    assert first == {name: file_hash(folder / name) for name in "ab"}
    assert remembered_hashes(folder, "ab") == first
    assert read == ["a", "b"]


def test_a_changed_file_is_read_again_even_with_its_old_time(folder: Path, read: list[str]) -> None:
    remembered_hashes(folder, "ab")
    before = os.stat(folder / "a")
    (folder / "a").write_text("z")
    os.utime(folder / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert remembered_hashes(folder, "ab")["a"] == file_hash(folder / "a")
    assert read == ["a", "b", "a"]


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a": 1}', b'{"a": []}', b"[" * 5000, b"\xff"])
def test_a_damaged_memory_is_forgotten(folder: Path, read: list[str], tmp_path: Path, content: bytes) -> None:
    first = remembered_hashes(folder, "ab")
    (memory,) = (tmp_path / "cache" / "hashes").iterdir()
    memory.write_bytes(content)
    assert remembered_hashes(folder, "ab") == first


def test_a_file_that_changed_just_now_is_not_remembered(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second change within the same tick of the file system's clock would leave no trace."""
    monkeypatch.setenv("TIER_CACHE_DIR", str(tmp_path / "cache"))
    remembered_hashes(folder, "ab")
    assert not (tmp_path / "cache" / "hashes").exists()
