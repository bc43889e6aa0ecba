"""Send DICOM files by C-STORE (PS3.4 annex B)."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.association import Association

from tier_cli.errors import InputError
from tier_cli.imaging.guard import guarded
from tier_cli.pacs.outbox import Sent
from tier_cli.pacs.peers import Address
from tier_cli.pacs.sockets import close_sockets

# PS3.4 table B.2-1: success, and warnings after which the object is kept.
_DONE = frozenset({0x0000, 0xB000, 0xB006, 0xB007})
_OUT_OF_RESOURCES = range(0xA700, 0xA800)


class StoreUser:
    """A receiver that takes C-STORE.

    Parameters
    ----------
    to
        The receiver.
    title
        The AE title of this node.
    timeout
        Seconds to wait for an answer.
    tls
        Encrypts the connection; None for none.
    """

    def __init__(self, to: Address, title: str, timeout: float = 60.0, tls: ssl.SSLContext | None = None):
        close_sockets()
        self._to, self._title, self._timeout, self._tls = to, title, timeout, tls

    def __str__(self) -> str:
        return str(self._to)

    def send(self, files: Sequence[Path]) -> Mapping[Path, Sent]:
        """Send files in one association."""
        kinds = {file: kind for file in files if (kind := _kind_of(file)) is not None}
        outcome = {file: Sent.REFUSED for file in files if file not in kinds}
        ae = AE(ae_title=self._title)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = self._timeout
        for sop_class, syntax in dict.fromkeys(kinds.values()):
            ae.add_requested_context(sop_class, syntax)
        if not kinds:
            return outcome
        tls = None if self._tls is None else (self._tls, self._to.host)
        association = ae.associate(self._to.host, self._to.port, ae_title=self._to.title, tls_args=tls)
        if not association.is_established:
            # It was there, but takes none of these.
            if association.rejected_contexts and not association.accepted_contexts:
                outcome |= dict.fromkeys(kinds, Sent.REFUSED)
            return outcome
        try:
            for file in kinds:
                outcome[file] = self._stored(association, file)
                if outcome[file] is Sent.LATER:
                    break
        finally:
            if association.is_established:
                association.release()
        return outcome

    def _stored(self, association: Association, file: Path) -> Sent:
        try:
            with guarded(str(file), "the file"):
                status = association.send_c_store(file)
        except InputError:
            # No context was accepted for it, or the connection broke.
            return Sent.REFUSED if association.is_established else Sent.LATER
        if "Status" not in status or status.Status in _OUT_OF_RESOURCES:
            return Sent.LATER
        return Sent.DONE if status.Status in _DONE else Sent.REFUSED


def _kind_of(file: Path) -> tuple[str, str] | None:
    """Return class and transfer syntax of a file; None if it cannot be read."""
    try:
        with guarded(str(file), "the file"):
            meta = dcmread(file, specific_tags=["SOPClassUID"], stop_before_pixels=True).file_meta
            return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)
    except InputError:
        return None
