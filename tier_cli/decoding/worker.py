"""Run one decoding process: read paths from stdin and write prepared images to stdout until stdin ends."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import IO

from tier_cli.decoding.decode import decode
from tier_cli.decoding.protocol import receive, send, send_outcome, settings_from_text

# The command stops a process at the time limit; the process's own limit, on CPU time, holds where the command
# was killed and cannot.
_GRACE = 5.0


def main() -> None:
    """Serve one command; its settings are the only argument."""
    # Ctrl-C reaches the whole foreground group; the command decides when its processes end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Warnings of readers quote file content; an image's notes say what matters.
    warnings.simplefilter("ignore")
    settings = settings_from_text(sys.argv[1])
    replies = _claim_stdout()
    _limit_memory(settings.read.memory)
    send(replies, {"ready": True})
    while (message := receive(sys.stdin.buffer)) is not None:
        _limit_time(settings.seconds)
        send_outcome(replies, decode(message[0]["path"], settings))


def _limit_memory(allowed: int) -> None:
    """Allow this process that many bytes more than it has; only Linux enforces such a limit."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        # A core dump would hold the pixels of a patient.
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        given = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(
            resource.RLIMIT_AS, (min([pages * resource.getpagesize() + allowed, *given]), hard)
        )


def _limit_time(seconds: float) -> None:
    """Allow this process that many seconds of CPU time from now on, and a few more."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        limit = int(time.process_time() + seconds + _GRACE) + 1
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def _claim_stdout() -> IO[bytes]:
    """Reserve stdout for messages: some codecs print to it, which would garble them."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return replies


if __name__ == "__main__":
    main()
