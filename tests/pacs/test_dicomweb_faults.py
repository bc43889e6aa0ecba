"""Servers that answer badly cost one row each, and get no login that is not theirs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from xrays import write_dicom

from tier_cli.errors import InputError
from tier_cli.imaging.discover import PassedOver, Source
from tier_cli.pacs import dicomweb
from tier_cli.pacs.dicomweb import TOKEN, Server, WebStore, retrieved
from tier_cli.pacs.outbox import Sent

DX = "1.2.840.10008.5.1.4.1.1.1.1"
Answer = Callable[[BaseHTTPRequestHandler], None]


class Fake:
    """A server that answers as a test wants."""

    def __init__(self) -> None:
        self.search: Answer = lambda request: send_json(request, [found()])
        self.image: Answer = lambda request: send(request, 404)
        self.logins: list[str | None] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.logins.append(self.headers.get("Authorization"))
                (fake.image if "/series/" in self.path else fake.search)(self)

            def do_POST(self) -> None:
                fake.logins.append(self.headers.get("Authorization"))
                self.rfile.read(int(self.headers["Content-Length"]))
                fake.image(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def found(instance: str = "1.2.3.1.0") -> dict[str, object]:
    values = {"00080016": DX, "0020000E": "1.2.3.1", "00080018": instance}
    return {tag: {"vr": "UI", "Value": [value]} for tag, value in values.items()}


def send(request: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    request.send_response(status)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


def send_json(request: BaseHTTPRequestHandler, document: object) -> None:
    send(request, 200, json.dumps(document).encode(), Content_Type="application/dicom+json")


def send_image(request: BaseHTTPRequestHandler, content: bytes) -> None:
    head = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    send(request, 200, head + content + b"\r\n--b--\r\n", Content_Type=kind)


def drip(request: BaseHTTPRequestHandler) -> None:
    """Answer a few bytes at a time, and never come to an end."""
    request.send_response(200)
    request.send_header("Content-Type", "application/dicom+json")
    request.end_headers()
    try:
        while True:
            request.wfile.write(b"[" * 100)
            time.sleep(0.01)
    except OSError:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.setenv("NO_PROXY", "*")
    fake = Fake()
    yield fake
    fake.close()


def images(fake: Fake, folder: Path) -> list[Source]:
    return list(retrieved(f"dicomweb://{fake.address}/rs/studies/1.2.3", folder, PassedOver()))


def error(fake: Fake, folder: Path) -> InputError:
    (source,) = images(fake, folder)
    assert source.error is not None
    # Nothing of what the server says, which may be about a patient.
    assert "Doe" not in str(source.error)
    return source.error


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda request: send(request, 500, b"Doe"), "status 500"),
        (lambda request: send(request, 401, b"Doe"), f"set {TOKEN}"),
        (lambda request: send(request, 200, b"<html>Doe"), "cannot be read"),
        (lambda request: send_json(request, ["Doe"]), "cannot be read"),
        (lambda request: send_json(request, [found("../../Doe")]), "cannot be read"),
        (lambda request: send_json(request, []), "no such study"),
    ],
)
def test_a_bad_answer_to_the_search_is_one_row(
    server: Fake, tmp_path: Path, answer: Answer, said: str
) -> None:
    server.search = answer
    assert said in str(error(server, tmp_path))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda request: send(request, 500, b"Doe"), "status 500"),
        (lambda request: send(request, 200, b"Doe", Content_Type="text/html"), "cannot be read"),
        (lambda request: send_image(request, b"Doe"), "cannot be read"),
        (lambda request: send(request, 200, b"Doe", Content_Length="100"), "server"),
    ],
)
def test_a_bad_image_is_one_row(server: Fake, tmp_path: Path, answer: Answer, said: str) -> None:
    server.image = answer
    assert said in str(error(server, tmp_path))


def test_another_image_than_the_wanted_is_not_scored(server: Fake, tmp_path: Path) -> None:
    """Its scores would stand under the address of somebody else's image."""
    content = write_dicom(tmp_path / "a.dcm", 7).read_bytes()
    server.image = lambda request: send_image(request, content)
    assert "another image" in str(error(server, tmp_path))
    right = write_dicom(tmp_path / "a.dcm", 0).read_bytes()
    server.image = lambda request: send_image(request, right)
    assert [source.error for source in images(server, tmp_path)] == [None]


def test_an_answer_without_end_is_given_up(
    server: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.search = drip
    monkeypatch.setattr(dicomweb, "_LONGEST_WAIT", 0.3)
    assert "TooLongError" in str(error(server, tmp_path))
    monkeypatch.setattr(dicomweb, "_LONGEST_WAIT", 300)
    monkeypatch.setattr(dicomweb, "_LONGEST_ANSWER", 1000)
    assert "TooLongError" in str(error(server, tmp_path))


def test_a_redirect_gets_neither_the_login_nor_the_report(
    server: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, "secret")
    other = Fake()
    place = f"http://{other.address}/rs/studies"
    server.search = server.image = lambda request: send(request, 307, Location=place)
    assert "redirects" in str(error(server, tmp_path))
    store = WebStore(Server(f"dicomweb://{server.address}/rs"))
    report = write_dicom(tmp_path / "a.dcm")
    assert store.send([report]) == {report: Sent.LATER}
    other.close()
    assert other.logins == []
    assert set(server.logins) == {"Bearer secret"}


def test_no_login_is_taken_from_elsewhere(
    server: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login for the host in ~/.netrc would travel unencrypted, or replace the token."""
    (tmp_path / "netrc").write_text("default login me password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    images(server, tmp_path)
    monkeypatch.setenv(TOKEN, "token")
    images(server, tmp_path)
    assert set(server.logins) == {None, "Bearer token"}
