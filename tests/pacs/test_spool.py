"""Received images are whole, private, counted and deleted only when their study is finished."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tier_cli.pacs.spool import NoRoomError, Spool


def make(root: Path, most: int = 1000) -> Spool:
    spool = Spool(root, most)
    spool.restore()
    return spool


def finished(spool: Spool, study: str, instance: str, size: int = 100) -> str:
    path = spool.path_of(study, instance)
    spool.store(path, [b"x" * size])
    key = spool.next_quiet(0, 0)
    assert key is not None
    spool.finish(key)
    return path


def test_images_and_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        spool = make(tmp_path)
        path = spool.path_of("1.2", "1.2.3")
        spool.store(path, [b"head", memoryview(b"pixels")])
    finally:
        os.umask(before)
    assert (tmp_path / path).read_bytes() == b"headpixels"
    assert (tmp_path / path).stat().st_mode & 0o777 == 0o600
    assert {folder.stat().st_mode & 0o777 for folder in (tmp_path / path).parents[0:2]} == {0o700}


@pytest.mark.parametrize("uid", ["../../etc/passwd", "/etc/passwd", "a" * 5000, "\x00", "Doe^Jane"])
def test_no_uid_leads_out_of_the_folder_or_names_anybody(tmp_path: Path, uid: str) -> None:
    spool = make(tmp_path)
    path = spool.path_of(uid, uid)
    spool.store(path, [b"x"])
    assert (tmp_path / path).resolve().is_relative_to(tmp_path / "spool")
    assert uid not in path


def test_the_oldest_finished_study_makes_room(tmp_path: Path) -> None:
    freed: list[str] = []
    spool = Spool(tmp_path, 250, freed.append)
    spool.restore()
    first, second = finished(spool, "1", "1.1"), finished(spool, "2", "2.1")
    third = spool.path_of("3", "3.1")
    spool.store(third, [b"x" * 100])
    assert [(tmp_path / path).exists() for path in (first, second, third)] == [False, True, True]
    assert freed == [first.split("/")[1]]
    assert spool.used == 200
    # The study still knows its image: a late one must not make it forget the scores.
    assert spool.images(freed[0]) == [first]


def test_the_same_image_again_leaves_the_file_alone(tmp_path: Path) -> None:
    """A changed file would be scored a second time."""
    spool = make(tmp_path)
    path = spool.path_of("1", "1.1")
    spool.store(path, [b"head", b"pixels"])
    before = (tmp_path / path).stat()
    spool.store(path, [b"head", memoryview(b"pixels")])
    after = (tmp_path / path).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    spool.store(path, [b"head", b"pixel"])
    assert (tmp_path / path).read_bytes() == b"headpixel"
    assert spool.used == 9


def test_images_without_scores_are_never_deleted(tmp_path: Path) -> None:
    spool = make(tmp_path, 250)
    kept = [spool.path_of(str(number), "1.1") for number in range(2)]
    for path in kept:
        spool.store(path, [b"x" * 100])
    with pytest.raises(NoRoomError):
        spool.store(spool.path_of("9", "1.1"), [b"x" * 100])
    assert all((tmp_path / path).exists() for path in kept)
    assert spool.used == 200


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = make(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = spool.path_of("1", "1.1")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(NoRoomError):
            spool.store(path, [b"x" * 100])
    assert [file for file in (tmp_path / "spool").rglob("*") if file.is_file()] == []
    assert spool.used == 0


def test_a_restart_takes_up_open_studies_and_counts_what_is_there(tmp_path: Path) -> None:
    spool = make(tmp_path)
    done, waiting = finished(spool, "1", "1.1"), spool.path_of("2", "2.1")
    spool.store(waiting, [b"x" * 50])
    (tmp_path / waiting).with_name(".half.dcm.partial").write_bytes(b"half")
    again = Spool(tmp_path, 1000)
    assert again.restore() == 1
    assert again.used == 150
    assert again.next_quiet(0, 0) == waiting.split("/")[1]
    assert again.next_quiet(0, 0) is None
    assert not list(tmp_path.rglob("*.partial"))
    assert (tmp_path / done).exists()


def test_a_late_image_opens_its_study_again(tmp_path: Path) -> None:
    spool = make(tmp_path)
    finished(spool, "1", "1.1")
    late = spool.path_of("1", "1.2")
    spool.store(late, [b"x"])
    # Also for a process that was killed right after it.
    assert Spool(tmp_path, 1000).restore() == 1
    assert spool.next_quiet(0, 0) == late.split("/")[1]


def test_an_image_that_comes_while_its_study_is_scored_keeps_it_open(tmp_path: Path) -> None:
    spool = make(tmp_path)
    spool.store(spool.path_of("1", "1.1"), [b"x"])
    taken = spool.next_quiet(0, 0)
    assert taken is not None
    spool.store(spool.path_of("1", "1.2"), [b"x"])
    spool.finish(taken)
    assert spool.next_quiet(0, 0) == taken
    assert Spool(tmp_path, 1000).restore() == 1


def test_a_study_is_quiet_only_after_its_last_image(tmp_path: Path) -> None:
    spool = make(tmp_path)
    spool.store(spool.path_of("1", "1.1"), [b"x"])
    assert spool.next_quiet(1000, 0) is None
    assert spool.open_studies == 1
