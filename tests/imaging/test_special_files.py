"""Pipes, sockets, devices, links and files that change: told apart, and never waited for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from xrays import write_dicom, write_png

from tier_cli.errors import InputError
from tier_cli.imaging import discover as module
from tier_cli.imaging.discover import PassedOver, Source, discover
from tier_cli.imaging.opening import head_of, open_file
from tier_cli.imaging.read import read_radiograph

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")


def _socket(path: Path) -> None:
    folder = os.getcwd()
    os.chdir(path.parent)  # the path of a socket may have only 107 characters
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(folder)


SPECIAL: list[tuple[str, Callable[[Path], object], str]] = [
    ("pipe", os.mkfifo, "it is a pipe"),
    ("socket", _socket, "it is a socket"),
    ("device", lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    ("terminal", lambda path: path.symlink_to("/dev/tty"), "it is a device"),
    ("loop", lambda path: path.symlink_to(path.name), "leads back to itself"),
    ("gone", lambda path: path.symlink_to("nowhere"), "leads to nothing"),
]
_each = pytest.mark.parametrize(("name", "make", "reason"), SPECIAL, ids=[name for name, _, _ in SPECIAL])


@_each
@pytest.mark.parametrize("ending", ["", ".dcm", ".txt"])
def test_named(tmp_path: Path, name: str, make: Callable[[Path], object], reason: str, ending: str) -> None:
    path = tmp_path / (name + ending)
    make(path)
    (source,) = discover([str(path)])
    assert source.error is not None
    assert reason in source.error.what


@_each
def test_in_a_list(tmp_path: Path, name: str, make: Callable[[Path], object], reason: str) -> None:
    make(tmp_path / name)
    write_png(tmp_path / "a.png")
    (tmp_path / "all.txt").write_text(f"a.png\n{name}\na.png\n")
    good, bad, again = discover([str(tmp_path / "all.txt")])
    assert good.error is None is again.error
    assert bad.error is not None
    assert reason in bad.error.what


@_each
def test_in_a_folder(tmp_path: Path, name: str, make: Callable[[Path], object], reason: str) -> None:
    make(tmp_path / f"{name}.png")
    write_png(tmp_path / "z.png")
    bad, good = discover([str(tmp_path)])
    assert good.error is None
    assert bad.error is not None
    assert reason in bad.error.what


@_each
def test_read_directly(tmp_path: Path, name: str, make: Callable[[Path], object], reason: str) -> None:
    """Nothing stands between the Python API and the file."""
    make(tmp_path / "a.png")
    with pytest.raises(InputError):
        read_radiograph(str(tmp_path / "a.png"))


def test_a_pipe_that_took_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(OSError, match="not a regular file"):
        open_file(str(tmp_path / "a.png"))


def test_a_file_without_size_is_not_opened(tmp_path: Path) -> None:
    """Some files of /proc are empty by their status and block whoever reads them."""
    (tmp_path / "a").touch()
    status = os.stat(tmp_path / "a")
    (tmp_path / "a").unlink()
    assert head_of(str(tmp_path / "a"), status) == b""


def test_folders_of_links_to_folders_of_links_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty levels of two links each stand for a thousand million paths."""
    monkeypatch.setattr(module, "_MOST_VISITS", 4)
    for level in range(30):
        folder = tmp_path / f"{level:02}"
        folder.mkdir()
        for link in "ab":
            (folder / link).symlink_to(f"../{level + 1:02}")
    (tmp_path / "30").mkdir()
    write_png(tmp_path / "30" / "a.png")
    passed_over = PassedOver()
    found = list(discover([str(tmp_path)], None, passed_over))
    assert {os.path.realpath(source.path) for source in found} == {str(tmp_path / "30" / "a.png")}
    assert len(found) <= 5
    assert set(passed_over.counts) == {"folder linked more than 4 times"}


def _while_read(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    def acting(path: str, status: os.stat_result) -> bytes:
        head = head_of(path, status)
        act()
        return head

    monkeypatch.setattr("tier_cli.imaging.read.head_of", acting)


@pytest.mark.parametrize(("write", "name"), [(write_png, "a.png"), (write_dicom, "a.dcm")])
def test_a_growing_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], Path], name: str
) -> None:
    path = write(tmp_path / name)

    def grow() -> None:
        with path.open("ab") as file:
            file.write(bytes(10))

    _while_read(monkeypatch, grow)
    with pytest.raises(InputError, match="changed while it was read") as caught:
        read_radiograph(str(path))
    assert caught.value.kind == "changed"


def test_a_file_that_is_still_copied_is_called_changed_and_not_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_png(tmp_path / "a.png")
    content = path.read_bytes()
    path.write_bytes(content[:300])
    _while_read(monkeypatch, lambda: path.write_bytes(content[:400]))
    with pytest.raises(InputError, match="changed while it was read"):
        read_radiograph(str(path))


def test_a_vanishing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dicom(tmp_path / "a.dcm")
    _while_read(monkeypatch, path.unlink)
    with pytest.raises(InputError, match="vanished while it was read") as caught:
        read_radiograph(str(path))
    assert caught.value.kind == "missing"


def test_sources_of_the_system_do_not_block() -> None:
    """Files of /proc are regular by their status."""
    if not os.path.exists("/proc/self"):
        pytest.skip("needs /proc")
    assert all(isinstance(source, Source) for source in discover(["/proc/sys/kernel"]))
