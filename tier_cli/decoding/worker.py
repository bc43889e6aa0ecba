"""Run one decoding process: read paths from stdin and write prepared images to stdout until stdin ends."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from typing import IO

from tier_cli.decoding.decode import decode
from tier_cli.decoding.protocol import receive, send, send_outcome, settings_from_text


def main() -> None:
    """Serve one command; its settings are the only argument."""
    # Ctrl-C reaches the whole foreground group; the command decides when its processes end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Warnings of readers quote file content; an image's notes say what matters.
    warnings.simplefilter("ignore")
    settings = settings_from_text(sys.argv[1])
    replies = _claim_stdout()
    send(replies, {"ready": True})
    while (message := receive(sys.stdin.buffer)) is not None:
        send_outcome(replies, decode(message[0]["path"], settings))


def _claim_stdout() -> IO[bytes]:
    """Reserve stdout for messages: some codecs print to it, which would garble them."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return replies


if __name__ == "__main__":
    main()
