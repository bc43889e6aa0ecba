"""Files and folders appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tier_cli.errors import UsageError
from tier_cli.files.atomic import check_new_folder, remove_partial, whole_file, whole_folder


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("before")
    with whole_file(path) as partial:
        partial.write_text("after")
        assert path.read_text() == "before"
        assert partial.parent == tmp_path, "on the same disk, so that it can be moved"
    assert path.read_text() == "after"
    assert _names(tmp_path) == ["x.json"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("text", ["", "half"])
def test_failure_keeps_the_file_as_it_was(tmp_path: Path, text: str, error: type[BaseException]) -> None:
    path = tmp_path / "x.json"
    path.write_text("before")

    def fail() -> None:
        with whole_file(path) as partial:
            if text:
                partial.write_text(text)
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "before"
    assert _names(tmp_path) == ["x.json"]


def test_two_writers_of_one_file_do_not_interfere(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with whole_file(path) as first, whole_file(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert _names(tmp_path) == ["x"]


def test_content_is_on_the_disk_before_the_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    replace = Path.replace

    def move(partial: Path, path: Path) -> Path:
        steps.append("move")
        return replace(partial, path)

    monkeypatch.setattr(os, "fsync", lambda file: steps.append("fsync"))
    monkeypatch.setattr(Path, "replace", move)
    with whole_file(tmp_path / "x") as partial:
        partial.touch()
    with whole_folder(tmp_path / "y") as folder:
        (folder / "a").touch()
        (folder / "b").mkdir()
        (folder / "b" / "c").touch()
    assert steps == ["fsync", "move", "fsync", "fsync", "move"]


@pytest.mark.skipif(os.name == "nt", reason="permissions of Unix")
def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "x") as partial:
            partial.touch()
        with whole_folder(tmp_path / "y"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "y").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("empty", [False, True])
def test_a_folder_appears_when_the_block_ends(
    tmp_path: Path, empty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("x")
    if empty:
        path.mkdir()
    with whole_folder(path) as folder:
        assert folder.name == "x", "files in it may quote its name"
        (folder / "a").write_text("a")
        assert not path.exists() or _names(path) == []
    assert (path / "a").read_text() == "a"
    assert _names(tmp_path) == ["x"]


def test_failure_leaves_no_folder(tmp_path: Path) -> None:
    def fail() -> None:
        with whole_folder(tmp_path / "x") as folder:
            (folder / "a").write_text("a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert _names(tmp_path) == []


def test_a_folder_with_something_in_it_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "kept").touch()
    with pytest.raises(OSError), whole_folder(tmp_path / "x") as folder:
        (folder / "a").touch()
    assert _names(tmp_path) == ["x"]
    assert _names(tmp_path / "x") == ["kept"]


def test_new_folders_are_absent_or_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    check_new_folder(tmp_path / "new")
    check_new_folder(tmp_path / "empty")
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(UsageError, match="already exists"):
            check_new_folder(taken)
    check_new_folder(tmp_path / "a" / "b", parents=True)
    with pytest.raises(UsageError, match="no such folder"):
        check_new_folder(tmp_path / "a" / "b")


def test_leftovers_of_a_killed_process_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "kept.npy").touch()
    writers = [whole_file(tmp_path / "x.npy"), whole_folder(tmp_path / "y")]
    left = [writer.__enter__() for writer in writers]
    left[0].touch()
    assert len(_names(tmp_path)) == 3
    remove_partial(tmp_path)
    assert _names(tmp_path) == ["kept.npy"]
    remove_partial(tmp_path / "absent")
