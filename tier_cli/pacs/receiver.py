"""Receive images by C-STORE and answer C-ECHO (PS3.4 annexes A and B, PS3.8)."""

from __future__ import annotations

import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from socketserver import BaseServer
from typing import Any, cast

from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from tier_cli.errors import InputError, UsageError
from tier_cli.imaging.guard import guarded
from tier_cli.imaging.header import read_header
from tier_cli.imaging.pixels import decodable_syntaxes
from tier_cli.pacs.health import Health
from tier_cli.pacs.ledger import Ledger
from tier_cli.pacs.peers import Peers
from tier_cli.pacs.sockets import close_sockets
from tier_cli.pacs.spool import NoRoomError, Spool, key_of
from tier_cli.pacs.storage_classes import STORAGE_CLASSES

_VERIFICATION = "1.2.840.10008.1.1"
# PS3.4 table B.2-1 and PS3.7 annex C.
_SUCCESS, _NO_RESOURCES, _OTHER_CLASS, _NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
# A-ASSOCIATE-RJ: result, source and reason (PS3.8 table 9-21).
_UNKNOWN_CALLER, _UNKNOWN_CALLED, _TOO_MANY = (1, 1, 3), (1, 1, 7), (2, 3, 2)
# Of a PDU; the command set and other messages than C-STORE are far shorter than an image.
_PDU_HEADER, _LONGEST_REQUEST = 6, 1 << 20
_CHUNK = 1 << 16
# Connections beside the associations: those that ask for one or never do, such as a port scanner's.
_SPARE = 64
# Seconds that a connection has to ask for an association.
_REQUEST_TIMEOUT = 10.0
# Seconds that the end of the associations may take.
_LAST_PATIENCE = 2.0


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
    associations: int = 8
    pdu: int = 1 << 18
    instance: int = 100_000_000
    idle: float = 60.0
    tls: ssl.SSLContext | None = None


class Receiver:
    """A C-STORE and C-ECHO service class provider.

    Parameters
    ----------
    settings
        How images are received.
    spool, ledger
        Where they are kept, and which of them have been scored.
    health
        Told of what is received and refused.
    """

    def __init__(self, settings: ReceiverSettings, spool: Spool, ledger: Ledger, health: Health):
        self._settings, self._spool, self._ledger, self._health = settings, spool, ledger, health
        self._server: _Server | None = None
        self._stopping = False
        # Readers silence warnings for the whole process.
        self._reading = threading.Lock()
        # The threads that store an image.
        self._storing: set[int] = set()

    @property
    def associations(self) -> int:
        """The number of associations."""
        return sum(association.is_established for association in self._connections)

    @property
    def _connections(self) -> list[Association]:
        return [] if self._server is None else self._server.active_associations

    def start(self) -> int:
        """Begin to listen, and return the port.

        Raises
        ------
        UsageError
            If the address cannot be used.
        """
        settings = self._settings
        close_sockets()
        # Its handlers would format every message, and log what it holds.
        _config.LOG_HANDLER_LEVEL = "none"
        ae = AE(ae_title=settings.title)
        ae.maximum_pdu_size = settings.pdu
        # The limit is looked after in `_check_request`: pynetdicom would count connections of scanners too.
        ae.maximum_associations = settings.associations + _SPARE
        ae.network_timeout = ae.dimse_timeout = settings.idle
        ae.acse_timeout = min(settings.idle, _REQUEST_TIMEOUT)
        syntaxes = decodable_syntaxes()
        contexts = [build_context(uid, syntaxes) for uid in STORAGE_CLASSES]
        contexts.append(build_context(_VERIFICATION))
        handlers = [
            (evt.EVT_REQUESTED, self._check_request),
            (evt.EVT_ACCEPTED, self._tell_refused_contexts),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_ECHO, self._echo),
            (evt.EVT_CONN_CLOSE, self._tell_cut_off),
        ]
        try:
            self._server = _Server(ae, settings, contexts, handlers, self._refuse_address)
        except OSError as error:
            raise UsageError(
                f"cannot listen at {settings.host} ({error.strerror})",
                where=f"--port {settings.port}",
                remedy="choose another --port or --host",
            ) from None
        threading.Thread(target=self._server.serve_forever, name="listen", daemon=True).start()
        return int(self._server.server_address[1])

    def stop(self, patience: float) -> None:
        """Accept nothing more, wait for images that are being received, and end all associations.

        Parameters
        ----------
        patience
            Seconds to wait at most.
        """
        self._stopping = True
        if self._server is None:
            return
        self._server.shutdown()
        end = time.monotonic() + patience
        while time.monotonic() < end and self._is_busy():
            time.sleep(0.02)
        for association in self._connections:
            if association.is_established:
                # In a thread: pynetdicom waits without end for a connection in an unforeseen state.
                threading.Thread(target=association.abort, daemon=True).start()
            else:
                _shut(association.dul.socket)
        end = time.monotonic() + _LAST_PATIENCE
        while time.monotonic() < end and self.associations:
            time.sleep(0.02)

    def _is_busy(self) -> bool:
        return bool(self._storing) or any(map(_is_in_message, self._connections))

    def _refuse_address(self, address: str) -> bool:
        """Return whether a connection is closed at once, before a byte of it is read."""
        if not self._settings.peers.has_address(address):
            reason = "address"
        elif len(self._connections) >= self._settings.associations + _SPARE:
            reason = "too many connections"
        else:
            return False
        self._health.count("refused_connections")
        self._health.tell("refused", what="connection", reason=reason, address=address)
        return True

    def _check_request(self, event: evt.Event) -> None:
        association = event.assoc
        address, settings = str(association.requestor.address), self._settings
        request = association.requestor.primitive
        if request is None:
            return
        if not settings.peers.has(str(request.calling_ae_title or ""), address):
            self._reject(association, _UNKNOWN_CALLER, "calling AE title", address)
        elif str(request.called_ae_title or "").strip() != settings.title:
            self._reject(association, _UNKNOWN_CALLED, "called AE title", address)
        elif self.associations >= settings.associations:
            self._reject(association, _TOO_MANY, "too many associations", address)

    def _reject(
        self, association: Association, code: tuple[int, int, int], reason: str, address: str
    ) -> None:
        # Before the answer: whoever has it may look into the status file.
        self._health.count("refused_associations")
        self._health.tell("refused", what="association", reason=reason, address=address)
        association.acse.send_reject(*code)
        association.kill()

    def _tell_refused_contexts(self, event: evt.Event) -> None:
        # Senders propose all that they know; what counts is whether they may send what can be scored.
        refused = [cx for cx in event.assoc.rejected_contexts if cx.abstract_syntax in STORAGE_CLASSES]
        if refused or not event.assoc.accepted_contexts:
            self._health.count("refused_contexts")
            reason = "transfer syntax" if refused else "storage class"
            address = str(event.assoc.requestor.address)
            self._health.tell("refused", what="presentation context", reason=reason, address=address)

    def _tell_cut_off(self, event: evt.Event) -> None:
        if _is_in_message(event.assoc):
            self._health.count("cut_off")
            self._health.tell("cut off", address=str(event.assoc.requestor.address))

    def _echo(self, event: evt.Event) -> int:
        self._health.count("echoes")
        return _SUCCESS

    def _store(self, event: evt.Event) -> int:
        self._storing.add(threading.get_ident())
        try:
            return self._stored(event)
        finally:
            self._storing.discard(threading.get_ident())

    def _stored(self, event: evt.Event) -> int:
        """Keep an image, and return the status; success only once it is on the disk."""
        if self._stopping:
            return self._refused(_NO_RESOURCES, "stopping")
        request = cast(C_STORE, event.request)
        data = cast(io.BytesIO, request.DataSet)
        parts: list[bytes | memoryview] = [
            b"\0" * 128 + b"DICM" + encode_file_meta(event.file_meta),
            data.getbuffer(),
        ]
        try:
            study, instance, sop_class = self._identity(parts)
        except InputError as error:
            return self._refused(_NOT_UNDERSTOOD, error.kind)
        if (instance, sop_class) != (request.AffectedSOPInstanceUID, request.AffectedSOPClassUID):
            return self._refused(_OTHER_CLASS, "not the announced instance")
        if not study:
            return self._refused(_NOT_UNDERSTOOD, "no StudyInstanceUID")
        path = self._spool.path_of(study, instance)
        known = {"study": key_of(study), "instance": key_of(instance)}
        if self._ledger.has_score(path):
            self._health.count("duplicates")
            self._health.tell("duplicate", **known)
            return _SUCCESS
        try:
            self._spool.store(path, parts)
        except NoRoomError as error:
            return self._refused(_NO_RESOURCES, error.what)
        except OSError as error:
            return self._refused(_NO_RESOURCES, error.strerror or "disk")
        self._health.count("stored")
        self._health.tell("stored", **known, bytes=sum(map(len, parts)))
        return _SUCCESS

    def _refused(self, status: int, reason: str) -> int:
        self._health.count("refused_images")
        self._health.tell("refused", what="image", reason=reason, status=f"{status:04X}")
        return status

    def _identity(self, parts: Sequence[bytes | memoryview]) -> tuple[str, str, str]:
        """Return the UIDs of study, instance and class."""
        with self._reading, guarded("", "the image"):
            # Not joined before: an image may have a hundred megabytes.
            header = read_header(io.BytesIO(b"".join(parts)), "")
            return header.text("StudyInstanceUID"), header.text("SOPInstanceUID"), header.text("SOPClassUID")


def _is_in_message(association: Association) -> bool:
    """Return whether a part of a message has been received."""
    return association.dimse.message is not None


def _shut(transport: AssociationSocket | None) -> None:
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
            _shut(self._transport)
            raise OSError(fault)
        received = bytearray(nr_bytes)
        start = 0
        with memoryview(received) as view:
            while start < nr_bytes and self._transport.socket is not None:
                count = self._transport.socket.recv_into(view[start : start + _CHUNK])
                if not count:
                    break
                start += count
        del received[start:]
        return received

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
        held = message.encoded_command_set.tell() + cast(io.BytesIO, message.data_set).tell()
        return "the message is too long" if held + size > settings.instance else ""


class _Handler(RequestHandler):
    """Give each association a bounded connection."""

    server: _Server

    def _create_association(self) -> Association:
        association = super()._create_association()
        # Or a peer that hangs would keep the process from ending.
        association.dul.daemon = True
        transport = association.dul.socket
        if transport is not None:
            reader = _Reader(association, transport, self.server.settings)
            transport.recv = reader.recv  # type: ignore[method-assign]
        return association


class _Server(ThreadedAssociationServer):
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
