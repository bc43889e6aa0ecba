"""What is sent arrives once its receiver can take it, and is kept until then."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dcmtk import dcmtk, send
from nodes import Listen, wait_for
from pydicom import dcmread
from xrays import write_dicom

from tier_cli.pacs.health import Health
from tier_cli.pacs.outbox import Outbox, Sent
from tier_cli.pacs.peers import Address
from tier_cli.pacs.store_user import StoreUser
from tier_cli.results.record import Result

Archive = Callable[..., "subprocess.Popen[bytes]"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """Start DCMTK's storescp, which writes what it receives into ``archive``."""
    started: list[subprocess.Popen[bytes]] = []

    def start(port: int, *options: str) -> subprocess.Popen[bytes]:
        (tmp_path / "archive").mkdir(exist_ok=True)
        command = [dcmtk("storescp"), *options, "-od", str(tmp_path / "archive"), str(port)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started.append(process)

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_for(listens)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Callable[..., Outbox]]:
    made: list[Outbox] = []

    def make(port: int, health: Health | None = None) -> Outbox:
        user = StoreUser(Address("ARCHIVE", "127.0.0.1", port), "TIER", timeout=30)
        box = Outbox(tmp_path, user, health or Health(None), pause=0.05)
        box.start()
        made.append(box)
        return box

    yield make
    for box in made:
        box.stop(10)


def received(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "archive").glob("*") if path.is_file())


def test_a_file_arrives_as_it_is(archive: Archive, outbox: Callable[..., Outbox], tmp_path: Path) -> None:
    port = free_port()
    archive(port)
    box, image = outbox(port), write_dicom(tmp_path / "a.dcm")
    box.put("a.dcm", image.read_bytes())
    wait_for(lambda: box.waiting == 0)
    (arrived,) = received(tmp_path)
    assert dcmread(arrived) == dcmread(image)


def test_what_cannot_be_sent_is_kept_over_a_restart_and_sent_later(
    archive: Archive, outbox: Callable[..., Outbox], tmp_path: Path
) -> None:
    port, health = free_port(), Health(None)
    box, image = outbox(port, health), write_dicom(tmp_path / "a.dcm")
    box.put("a.dcm", image.read_bytes())
    wait_for(lambda: health.counted("not_sent") >= 2)
    assert box.waiting == 1
    assert (box.folder / "a.dcm").stat().st_mode & 0o777 == 0o600
    box.stop(10)
    archive(port)
    again = outbox(port)
    wait_for(lambda: again.waiting == 0)
    assert len(received(tmp_path)) == 1


def test_a_refused_file_stays_and_does_not_hold_up_others(
    archive: Archive, outbox: Callable[..., Outbox], tmp_path: Path
) -> None:
    port = free_port()
    # Only uncompressed images.
    archive(port, "+xi")
    box = outbox(port)
    plain, small = write_dicom(tmp_path / "a.dcm", 0), tmp_path / "b.dcm"
    subprocess.run(
        [dcmtk("dcmcjpeg"), "+e1", str(write_dicom(tmp_path / "c.dcm", 1)), str(small)], check=True
    )
    box.put("small.dcm", small.read_bytes())
    box.put("broken.dcm", b"no DICOM")
    implicit = tmp_path / "implicit.dcm"
    subprocess.run([dcmtk("dcmconv"), "+ti", str(plain), str(implicit)], check=True)
    box.put("plain.dcm", implicit.read_bytes())
    wait_for(lambda: box.waiting == 0)
    assert box.refused == 2
    assert len(received(tmp_path)) == 1
    assert (box.folder / "small.dcm").exists()


def test_the_pause_grows_while_a_receiver_is_away(tmp_path: Path) -> None:
    """A receiver that comes back must not be met by a storm."""
    attempts: list[int] = []

    class Away:
        def __str__(self) -> str:
            return "AWAY@127.0.0.1:1"

        def send(self, files: list[Path]) -> dict[Path, Sent]:
            attempts.append(len(files))
            return {}

    box = Outbox(tmp_path, Away(), Health(None), pause=0.02)  # type: ignore[arg-type]
    waits: list[float] = []
    wait_as_before = box._changed.wait_for

    def wait(predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        waits.append(timeout or 0)
        return wait_as_before(predicate, 0)

    box._changed.wait_for = wait  # type: ignore[method-assign, assignment]
    box.start()
    box.put("a.dcm", b"x")
    wait_for(lambda: len(waits) > 20)
    box.stop(10)
    assert waits[:4] == pytest.approx([0.02, 0.04, 0.08, 0.16])
    assert max(waits) == 300


def test_reports_of_a_study_reach_the_archive(listen: Listen, archive: Archive, tmp_path: Path) -> None:
    """The whole way: image in, report out, and once more after a late image."""
    port = free_port()
    archive(port)
    (tmp_path / "in").mkdir()
    images = [write_dicom(tmp_path / "in" / f"{number}.dcm", number) for number in range(2)]
    to = StoreUser(Address("ARCHIVE", "127.0.0.1", port), "TIER")
    seen: list[int] = []

    def report(results: list[Result]) -> list[bytes]:
        seen.append(len(results))
        return [Path(results[0].paths[0]).read_bytes()]

    node = listen(destinations=[to], make=report)
    assert send(node.port, images[:1]) == 0
    wait_for(lambda: len(received(tmp_path)) == 1)
    assert send(node.port, images[1:]) == 0
    node.wait_for("sent", 2)
    assert seen == [1, 2]
    assert node.listener._now()["to_send"] == {f"ARCHIVE@127.0.0.1:{port}": 0}
