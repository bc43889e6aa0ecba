"""With certificates, only those who have one get in, and a silent caller does not hold up others."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from dcmtk import send
from nodes import Listen
from xrays import write_dicom

from tier_cli.errors import UsageError
from tier_cli.pacs.encryption import Certificates
from tier_cli.pacs.outbox import Sent
from tier_cli.pacs.peers import Address
from tier_cli.pacs.store_user import StoreUser


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """A certificate for this machine that is its own authority."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    own, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*command, "-keyout", key, "-out", own], check=True, capture_output=True)
    return Certificates(str(own), str(key), str(own))


def test_only_a_caller_with_a_certificate_gets_in(
    listen: Listen, certificates: Certificates, tmp_path: Path
) -> None:
    node, image = listen(r_tls=certificates.server()), write_dicom(tmp_path / "a.dcm")
    own = ("+tls", certificates.key, certificates.own, "+cf", certificates.own)
    # It never begins the handshake.
    with socket.create_connection(("127.0.0.1", node.port)):
        assert send(node.port, [image], "SENDER", "TIER", *own) == 0
    assert send(node.port, [image], "SENDER", "TIER", "+tla", "+cf", certificates.own) != 0
    assert send(node.port, [image]) != 0
    assert node.count("stored") == 1


def test_reports_are_sent_encrypted_to_the_receiver_that_is_meant(
    listen: Listen, certificates: Certificates, tmp_path: Path
) -> None:
    node, image = listen(r_tls=certificates.server()), write_dicom(tmp_path / "a.dcm")
    to = Address("TIER", "127.0.0.1", node.port)
    assert StoreUser(to, "SENDER", 30, certificates.client()).send([image]) == {image: Sent.DONE}
    assert StoreUser(to, "SENDER", 30).send([image]) == {}
    stranger = Certificates(certificates.own, certificates.key).client()
    assert StoreUser(to, "SENDER", 30, stranger).send([image]) == {}


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("no certificate")
    with pytest.raises(UsageError, match=r"--tls-cert .*x\.pem: .*PEM"):
        Certificates(str(tmp_path / "x.pem"), str(tmp_path / "x.pem")).server()
