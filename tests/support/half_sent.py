"""Speak DICOM's upper layer (PS3.8) badly, on purpose."""

from __future__ import annotations

import socket
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.pdu import P_DATA_TF


def associate(port: int, file: Path, title: str = "SENDER") -> Association:
    """Open an association for the class and the syntax of a file."""
    dataset = dcmread(file, stop_before_pixels=True)
    ae = AE(ae_title=title)
    ae.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", port, ae_title="TIER", max_pdu=4096)
    assert association.is_established
    return association


def store_request(association: Association, file: Path, announced: str = "") -> list[bytes]:
    """Return the PDUs of a C-STORE request, which may announce another instance than it holds."""
    dataset = dcmread(file)
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = (
        dataset.SOPClassUID,
        announced or dataset.SOPInstanceUID,
    )
    encoded = encode(dataset, False, True)
    assert encoded is not None
    request.DataSet = BytesIO(encoded)
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    context = association.accepted_contexts[0].context_id
    assert context is not None
    pdus = []
    for primitive in message.encode_msg(context, 2048):
        pdu = P_DATA_TF()
        pdu.from_primitive(primitive)
        pdus.append(pdu.encode())
    return pdus


def connection(association: Association) -> socket.socket:
    """Return the socket of an association."""
    transport = association.dul.socket
    assert transport is not None
    assert transport.socket is not None
    return transport.socket
