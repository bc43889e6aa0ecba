"""Close the connections that pynetdicom leaves open."""

from __future__ import annotations

from contextlib import suppress
from socket import SHUT_RDWR

from pynetdicom.transport import AssociationSocket


def close_sockets() -> None:
    """Let pynetdicom close a socket whose peer is gone too: version 3.0 gives up when `shutdown` fails."""
    AssociationSocket._shutdown_socket = _closed  # type: ignore[method-assign, assignment]


def _closed(transport: AssociationSocket) -> None:
    if transport.socket is not None:
        with suppress(OSError):
            transport.socket.shutdown(SHUT_RDWR)
        with suppress(OSError):
            transport.socket.close()
