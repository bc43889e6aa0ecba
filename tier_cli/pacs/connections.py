"""Accept connections from known addresses, and bound what their peers may send (PS3.8)."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from socketserver import BaseServer
from typing import Any, cast

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from tier_cli.pacs.peers import Peers

# Seconds that a connection has to ask for an association.
REQUEST_TIMEOUT = 10.0
# Of a PDU; the command set and other messages than C-STORE are far shorter than an image.
_PDU_HEADER, _LONGEST_REQUEST = 6, 1 << 20
_CHUNK = 1 << 16


@dataclass(frozen=True)
class ReceiverSettings:
    """How images are received.

    Parameters
    ----------
    title
        The AE title by which callers must call.
    host, port
        The address to listen at; port 0 takes a free one.
    peers
        Who may call.
    associations
        The most associations at a time.
    pdu
        The longest PDU that is accepted, in bytes.
    instance
        The largest image that is accepted, in bytes: with `associations` it bounds the memory.
    idle
        Seconds after which a silent association is ended.
    tls
        Encrypts connections; None for none.
    """

    title: str
    host: str
    port: int
    peers: Peers
    associations: int
    pdu: int
    instance: int
    idle: float
    tls: ssl.SSLContext | None = None


def is_in_message(association: Association) -> bool:
    """Return whether a part of a message has been received."""
    return association.dimse.message is not None


def shut(transport: AssociationSocket | None) -> None:
    """Close a connection in both directions."""
    with suppress(OSError):
        if transport is not None and transport.socket is not None:
            transport.socket.shutdown(socket.SHUT_RDWR)


class _Reader:
    """Reads a connection, and gives it up when its peer sends more than it may.

    Parameters
    ----------
    association
        The association of the connection.
    transport
        The connection.
    settings
        Says how much a peer may send.
    """

    def __init__(self, association: Association, transport: AssociationSocket, settings: ReceiverSettings):
        self._association, self._transport, self._settings = association, transport, settings

    def recv(self, nr_bytes: int) -> bytearray:
        """Read a number of bytes; raises OSError if that is more than the peer may send."""
        if fault := self._fault(nr_bytes):
            # pynetdicom takes the error for a connection that is closed already.
            shut(self._transport)
            raise OSError(fault)
        received = bytearray(nr_bytes)
        start, end = 0, time.monotonic() + self._patience
        with memoryview(received) as view:
            while start < nr_bytes and self._transport.socket is not None:
                # A peer that sends byte after byte would hold the connection for ever.
                self._transport.socket.settimeout(max(0.001, end - time.monotonic()))
                count = self._transport.socket.recv_into(view[start : start + _CHUNK])
                if not count:
                    break
                start += count
        del received[start:]
        return received

    @property
    def _patience(self) -> float:
        """The seconds that a PDU may take."""
        idle = self._settings.idle
        return idle if self._association.is_established else min(idle, REQUEST_TIMEOUT)

    def _fault(self, size: int) -> str:
        """Return why the peer may not send so many bytes; "" if it may."""
        association, settings = self._association, self._settings
        longest = settings.pdu if association.is_established else _LONGEST_REQUEST
        if size > longest + _PDU_HEADER:
            return "the PDU is longer than agreed"
        # A peer that does not wait for answers would fill the memory.
        if association.dimse.msg_queue.qsize() > 1:
            return "more messages than agreed"
        message = association.dimse.message
        if message is None:
            return ""
        held = message.encoded_command_set.tell() + cast(BytesIO, message.data_set).tell()
        return "the message is too long" if held + size > settings.instance else ""


class _Handler(RequestHandler):
    """Give each association a bounded connection."""

    server: Server

    def _create_association(self) -> Association:
        association = super()._create_association()
        # Or a peer that hangs would keep the process from ending.
        association.dul.daemon = True
        transport = association.dul.socket
        if transport is not None:
            reader = _Reader(association, transport, self.server.settings)
            transport.recv = reader.recv  # type: ignore[method-assign]
        return association


class Server(ThreadedAssociationServer):
    """Close connections from strangers before they are read."""

    daemon_threads = True

    def __init__(
        self,
        ae: AE,
        settings: ReceiverSettings,
        contexts: list[PresentationContext],
        handlers: list[Any],
        refuses: Callable[[str], bool],
    ):
        self.settings, self._refuses = settings, refuses
        super().__init__(
            ae,
            (settings.host, settings.port),
            settings.title,
            contexts,
            evt_handlers=handlers,
            request_handler=_Handler,
        )

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; the handshake of TLS is left to its own thread."""
        client, address = cast(socket.socket, self.socket).accept()
        client.settimeout(self.settings.idle)
        if self.settings.tls is not None:
            client = self.settings.tls.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        return client, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether a connection may be read."""
        return not self._refuses(str(client_address[0]))

    def shutdown(self) -> None:
        """Accept no further connection; pynetdicom's own needs a server that it has started itself."""
        BaseServer.shutdown(self)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the connection is closed, and a traceback may quote what was sent."""
