"""Receive images by C-STORE and answer C-ECHO (PS3.4 annexes A and B, PS3.8)."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Sequence
from typing import cast

from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.presentation import build_context

from tier_cli.errors import InputError, UsageError
from tier_cli.imaging.decoders import decodable_syntaxes
from tier_cli.imaging.guard import guarded
from tier_cli.imaging.header import read_header
from tier_cli.pacs.connections import REQUEST_TIMEOUT, ReceiverSettings, Server, is_in_message, shut
from tier_cli.pacs.health import Health
from tier_cli.pacs.ledger import Ledger
from tier_cli.pacs.peers import plain_title
from tier_cli.pacs.sockets import close_sockets
from tier_cli.pacs.spool import NoRoomError, Spool, key_of
from tier_cli.pacs.storage_classes import STORAGE_CLASSES

_VERIFICATION = "1.2.840.10008.1.1"
# PS3.4 table B.2-1 and PS3.7 annex C.
_SUCCESS, _NO_RESOURCES, _OTHER_CLASS, _NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
# A-ASSOCIATE-RJ: result, source and reason (PS3.8 table 9-21).
_UNKNOWN_CALLER, _UNKNOWN_CALLED, _TOO_MANY = (1, 1, 3), (1, 1, 7), (2, 3, 2)
# Connections beside the associations: those that ask for one or never do, such as a port scanner's.
_SPARE = 64
# Seconds that the end of the associations may take.
_LAST_PATIENCE = 2.0


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
        self._server: Server | None = None
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
        ae.acse_timeout = min(settings.idle, REQUEST_TIMEOUT)
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
            self._server = Server(ae, settings, contexts, handlers, self._refuse_address)
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
                shut(association.dul.socket)
        end = time.monotonic() + _LAST_PATIENCE
        while time.monotonic() < end and self.associations:
            time.sleep(0.02)

    def _is_busy(self) -> bool:
        return bool(self._storing) or any(map(is_in_message, self._connections))

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
        if not settings.peers.has(request.calling_ae_title or "", address):
            self._reject(association, _UNKNOWN_CALLER, "calling AE title", address)
        elif plain_title(request.called_ae_title or "") != settings.title:
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
        if is_in_message(event.assoc):
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
            content = self._spool.compare(path, parts)
            self._health.count("duplicates" if content != "other" else "other_duplicates")
            self._health.tell("duplicate", **known, content=content)
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
