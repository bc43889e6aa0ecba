"""Serve a local mirror of the Hugging Face hub that can download single files."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c0ffee00" * 5


class Mirror:
    """Hold what the mirror serves and the requests it received.

    Parameters
    ----------
    folder
        The files of its only repository.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.asked: list[str] = []
        self.ranges: list[str] = []
        self.gated = False
        # Break the connection once after this many bytes.
        self.breaks_after: int | None = None
        self.address = ""


@contextmanager
def mirror(folder: Path) -> Iterator[Mirror]:
    """Serve a folder as the hub does."""
    state = Mirror(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, *args: object) -> None:
            """Keep stderr empty."""

        def _answer(self, body: bool) -> None:
            state.asked.append(self.path)
            file = state.folder / self.path.rpartition("/")[2]
            if state.gated or "/resolve/" not in self.path or not file.is_file():
                self.send_response(403 if state.gated else 404)
                self.send_header("X-Error-Code", "GatedRepo" if state.gated else "EntryNotFound")
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = file.read_bytes()
            start = 0
            if requested := self.headers.get("Range"):
                state.ranges.append(requested)
                start = int(requested.removeprefix("bytes=").partition("-")[0])
            self.send_response(206 if start else 200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(content) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if not body:
                return
            if state.breaks_after is not None and len(content) > state.breaks_after:
                self.wfile.write(content[: state.breaks_after])
                state.breaks_after = None
                self.close_connection = True
                return
            self.wfile.write(content[start:])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
