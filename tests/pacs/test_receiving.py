"""Images that DCMTK sends are kept, scored once and answered truthfully; strangers get nowhere."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest
from dcmtk import dcmtk, send
from half_sent import associate, connection, store_request
from nodes import Listen, wait_for
from pydicom import dcmread
from pynetdicom import AE
from xrays import write_dicom

from tier_cli.app import main
from tier_cli.pacs.peers import Peers


def stored(root: Path) -> list[Path]:
    return sorted((root / "spool").glob("*/*.dcm"))


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Two studies of two images."""
    folder = tmp_path / "in"
    folder.mkdir()
    return [write_dicom(folder / f"{number}.dcm", number, f"1.2.{number // 2 + 1}") for number in range(4)]


def test_images_are_scored_as_classify_scores_them(
    listen: Listen, images: list[Path], model: str, tmp_path: Path
) -> None:
    node = listen()
    assert send(node.port, images) == 0
    assert len(stored(node.root)) == 4
    wait_for(lambda: len(node.results) == 4)
    node.listener.stop()
    wanted, merged = tmp_path / "wanted.jsonl", tmp_path / "merged.jsonl"
    options = ["--model", model, "--device", "cpu", "--views", "all"]
    assert main(["classify", *map(str, images), *options, "--output", str(wanted)]) == 0
    # The journal is complete: no --allow-incomplete.
    assert main(["merge", str(node.root / "scores.journal"), "--output", str(merged)]) == 0

    def of(lines: list[dict[str, object]]) -> dict[object, object]:
        return {line["instance"]: [line["findings"], line["study"], line["view"]] for line in lines}

    written = [json.loads(line) for line in wanted.read_text().splitlines()]
    assert of(node.results) == of(written)
    assert of([json.loads(line) for line in merged.read_text().splitlines()]) == of(written)


def test_what_is_kept_is_the_image_and_private(listen: Listen, images: list[Path]) -> None:
    node = listen(quiet=1000)
    assert send(node.port, images[:1]) == 0
    (kept,) = stored(node.root)
    before, after = dcmread(images[0]), dcmread(kept)
    assert after == before
    assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
    paths = [node.root, *node.root.rglob("*")]
    assert {path.stat().st_mode & 0o077 for path in paths if path.is_file() or path.name == "spool"} == {0}
    assert node.root.stat().st_mode & 0o777 == 0o700


def test_echo_is_answered(listen: Listen) -> None:
    node = listen()
    echo = [dcmtk("echoscu"), "-aet", "SENDER", "-aec", "TIER", "127.0.0.1", str(node.port)]
    assert subprocess.run(echo, capture_output=True, check=False).returncode == 0


def test_an_image_that_comes_twice_is_scored_once(listen: Listen, images: list[Path]) -> None:
    node = listen()
    assert send(node.port, [*images[:2], images[0]]) == 0
    wait_for(lambda: len(node.results) == 2)
    assert send(node.port, images[:2]) == 0
    assert node.count("duplicates") >= 2
    assert len(node.results) == 2
    assert node.count("scored") == 2


def test_a_late_image_joins_the_results_of_its_study(listen: Listen, images: list[Path]) -> None:
    node = listen()
    assert send(node.port, images[:1]) == 0
    wait_for(lambda: len(node.results) == 1)
    assert send(node.port, images[1:2]) == 0
    wait_for(lambda: len(node.results) == 2)
    assert node.count("scored") == 2


def test_an_image_that_cannot_be_scored_has_its_reason(listen: Listen, tmp_path: Path) -> None:
    node = listen()
    assert send(node.port, [write_dicom(tmp_path / "ct.dcm", Modality="CT")]) == 0
    node.wait_for("failed", 1)
    node.wait_for("studies", 1)
    assert node.results[0]["error"]["kind"] == "modality"


@pytest.mark.parametrize(
    ("caller", "called", "reason"),
    [("STRANGER", "TIER", "calling AE title"), ("SENDER", "OTHER", "called AE title")],
)
def test_an_unknown_title_is_rejected(
    listen: Listen, images: list[Path], caller: str, called: str, reason: str
) -> None:
    node = listen()
    assert send(node.port, images, caller, called) != 0
    assert [event["reason"] for event in node.events("refused")] == [reason]
    assert stored(node.root) == []
    # A title that nobody knows may be anything, even a name.
    assert caller not in node.said.getvalue()


def test_a_host_that_is_not_named_gets_no_answer(listen: Listen, images: list[Path]) -> None:
    node = listen(peers=Peers.parse(["SENDER@10.9.9.9"]))
    with socket.create_connection(("127.0.0.1", node.port)) as stranger:
        stranger.settimeout(60)
        assert stranger.recv(1) == b""
    assert send(node.port, images) != 0
    assert stored(node.root) == []
    assert node.count("refused_connections") == 2


def test_a_syntax_that_cannot_be_decoded_is_not_negotiated(listen: Listen, images: list[Path]) -> None:
    node = listen()
    ae = AE(ae_title="SENDER")
    dx, mpeg = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.1.2.4.100"
    ae.add_requested_context(dx, mpeg)
    ae.add_requested_context("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
    association = ae.associate("127.0.0.1", node.port, ae_title="TIER")
    assert association.accepted_contexts == []
    association.release()
    wait_for(lambda: node.events("refused"))
    assert node.events("refused")[0]["reason"] == "transfer syntax"


def test_syntaxes_that_can_be_decoded_are_negotiated(listen: Listen, tmp_path: Path) -> None:
    """A PACS that has only compressed images must find a syntax to send them in."""
    node = listen()
    ae = AE(ae_title="SENDER")
    wanted = [f"1.2.840.10008.1.2.{end}" for end in ("1", "2", "1.99", "5", "4.50", "4.70", "4.80", "4.90")]
    for syntax in wanted:
        ae.add_requested_context("1.2.840.10008.5.1.4.1.1.1", syntax)
    association = ae.associate("127.0.0.1", node.port, ae_title="TIER")
    assert sorted(str(cx.transfer_syntax[0]) for cx in association.accepted_contexts) == sorted(wanted)
    association.release()


def test_a_compressed_image_is_kept_compressed(listen: Listen, tmp_path: Path) -> None:
    node = listen()
    plain, small = write_dicom(tmp_path / "plain.dcm"), tmp_path / "small.dcm"
    subprocess.run([dcmtk("dcmcjpeg"), "+e1", str(plain), str(small)], check=True)
    assert send(node.port, [small], "SENDER", "TIER", "-xs") == 0
    node.wait_for("scored", 1)
    (kept,) = stored(node.root)
    assert dcmread(kept).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.70"


def test_a_half_sent_image_leaves_nothing(listen: Listen, images: list[Path]) -> None:
    node = listen()
    association = associate(node.port, images[0])
    pdus = store_request(association, images[0])
    assert len(pdus) > 3
    connection(association).sendall(b"".join(pdus[:-1]))
    connection(association).shutdown(socket.SHUT_RDWR)
    node.wait_for("cut_off", 1)
    association.abort()
    assert [path for path in (node.root / "spool").rglob("*") if path.is_file()] == []
    assert send(node.port, images) == 0


def test_an_image_that_is_not_the_announced_one_is_refused(listen: Listen, images: list[Path]) -> None:
    """Otherwise a sender would delete an image that nobody has."""
    node = listen()
    association = associate(node.port, images[0])
    connection(association).sendall(b"".join(store_request(association, images[0], "1.2.3.4")))
    node.wait_for("refused_images", 1)
    assert node.events("refused")[0]["status"] == "A900"
    association.release()
    assert stored(node.root) == []


def test_an_image_without_study_is_refused(listen: Listen, images: list[Path]) -> None:
    node = listen()
    association = associate(node.port, images[0])
    dataset = dcmread(images[0])
    del dataset.StudyInstanceUID
    assert association.send_c_store(dataset).Status == 0xC000
    association.release()
    assert stored(node.root) == []


def test_an_image_without_pixels_is_not_stored(listen: Listen, images: list[Path]) -> None:
    """Success would make the sender delete the only whole copy."""
    node = listen()
    association = associate(node.port, images[0])
    dataset = dcmread(images[0])
    del dataset.PixelData
    assert association.send_c_store(dataset).Status == 0xC000
    association.release()
    assert stored(node.root) == []


def test_a_port_scan_does_no_harm(listen: Listen, images: list[Path]) -> None:
    node = listen()
    for content in (
        b"",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x00" * 100,
        b"\xff" * 5000,
        b"\x01\x00\x00\x00\x00\x04abcd",
    ):
        with socket.create_connection(("127.0.0.1", node.port)) as scanner:
            scanner.sendall(content)
    with socket.create_connection(("127.0.0.1", node.port)) as liar:
        liar.settimeout(60)
        # An A-ASSOCIATE-RQ of four gigabytes.
        liar.sendall(b"\x01\x00\xff\xff\xff\xff" + b"x" * 1000)
        assert liar.recv(10) == b""
    assert send(node.port, images) == 0
    node.wait_for("studies", 2)
    assert "Traceback" not in node.said.getvalue()


def test_an_image_beyond_the_limit_is_broken_off(listen: Listen, images: list[Path]) -> None:
    node = listen(r_instance=4000)
    assert send(node.port, images[:1]) != 0
    assert stored(node.root) == []


def test_a_pdu_longer_than_agreed_ends_the_association(listen: Listen, images: list[Path]) -> None:
    node = listen(r_pdu=4096)
    association = associate(node.port, images[0])
    connection(association).sendall(b"\x04\x00\x00\x10\x00\x00" + b"x" * 100)
    wait_for(lambda: not association.is_established)
    wait_for(lambda: node.listener._now()["associations"] == 0)


def test_more_associations_than_allowed_are_rejected(listen: Listen, images: list[Path]) -> None:
    node = listen(r_associations=1)
    first = associate(node.port, images[0])
    assert send(node.port, images) != 0
    assert node.events("refused")[0]["reason"] == "too many associations"
    first.release()
    wait_for(lambda: node.listener._now()["associations"] == 0)
    assert send(node.port, images) == 0


def test_a_silent_association_ends(listen: Listen, images: list[Path]) -> None:
    node = listen(r_idle=1)
    silent = associate(node.port, images[0])
    wait_for(lambda: not silent.is_established)
    with socket.create_connection(("127.0.0.1", node.port)) as mute:
        mute.settimeout(60)
        assert mute.recv(10) == b""


def test_scored_images_make_room_and_others_are_refused_as_out_of_resources(
    listen: Listen, images: list[Path]
) -> None:
    size = 8000
    node = listen(most_disk=3 * size)
    assert send(node.port, images[:2]) == 0
    wait_for(lambda: len(node.results) == 2 and node.listener._spool._finished)
    assert send(node.port, images[2:]) == 0
    wait_for(lambda: len(node.results) == 4)
    assert node.count("studies_without_pixels") == 1
    assert len(node.results) == 4
    node.listener.stop()
    # Nothing is finished here, so nothing may be deleted.
    full = listen(node.root.parent / "other", most_disk=size, quiet=1000)
    association = associate(full.port, images[0])
    answers = [association.send_c_store(dcmread(image)).Status for image in images[:2]]
    association.release()
    assert answers == [0x0000, 0xA700]
    assert len(stored(full.root)) == 1


def test_nothing_is_lost_or_doubled_over_a_restart(listen: Listen, images: list[Path]) -> None:
    first = listen(quiet=1000)
    assert send(first.port, images) == 0
    first.listener.stop()
    assert first.results == []
    second = listen()
    wait_for(lambda: len(second.results) == 4)
    second.listener.stop()
    third = listen(quiet=0)
    assert send(third.port, images) == 0
    assert third.count("duplicates") == 4
    assert third.count("scored") == 0


def test_two_listeners_cannot_share_a_folder(listen: Listen) -> None:
    from tier_cli.errors import JournalError

    listen()
    with pytest.raises(JournalError, match="another run"):
        listen()


def test_by_study_one_line_holds_the_mean(listen: Listen, images: list[Path]) -> None:
    from tier_cli.pipeline.stream import stream_options

    node = listen(stream=stream_options(views="all", by="study"))
    assert send(node.port, images) == 0
    wait_for(lambda: sorted(len(line["paths"]) for line in node.results) == [2, 2])
