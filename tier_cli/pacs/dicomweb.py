"""Retrieve studies from a DICOMweb server, and store results there (PS3.18)."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset, dcmread

from tier_cli.errors import InputError, UsageError
from tier_cli.imaging.discover import PassedOver, Source
from tier_cli.imaging.guard import guarded
from tier_cli.pacs.outbox import Sent
from tier_cli.pacs.spool import key_of
from tier_cli.pacs.storage_classes import STORAGE_CLASSES

if TYPE_CHECKING:
    from requests import Response

# The token, or user and password as user:password. They are never options, which other users can see.
TOKEN, LOGIN = "TIER_DICOMWEB_TOKEN", "TIER_DICOMWEB_LOGIN"
_TIMEOUT = 60.0
_UID = r"[0-9.]{1,64}"
_STUDY = re.compile(
    rf"(?P<prefix>.*)/studies/(?P<study>{_UID})(?:/series/(?P<series>{_UID})(?:/instances/(?P<instance>{_UID}))?)?/?"
)
_WHOLE = (("application/dicom", "*"),)
# A later attempt may succeed: no login yet, too many requests, or the server's own trouble.
_LATER = frozenset({401, 403, 404, 408, 429})
_CLASS, _SERIES, _INSTANCE = "00080016", "0020000E", "00080018"


@dataclass(frozen=True)
class Server:
    """A DICOMweb server.

    Parameters
    ----------
    url
        ``dicomweb://host/path`` for HTTP, ``dicomwebs://host/path`` for HTTPS.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def client(self, environment: Mapping[str, str] = os.environ) -> DICOMwebClient:
        """Open a client with the login of the environment.

        Raises
        ------
        UsageError
            If the address is wrong, or a login would travel unencrypted.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in ("dicomweb", "dicomwebs") or not parts.hostname:
            raise UsageError("is no DICOMweb address", where=self.url, remedy="give dicomwebs://HOST/PATH")
        if parts.username or parts.password or parts.query:
            raise UsageError(
                "holds a login or a query", where=f"dicomweb(s)://{parts.hostname}", remedy=f"set {TOKEN}"
            )
        session = requests.Session()
        token, login = environment.get(TOKEN), environment.get(LOGIN)
        if (token or login) and parts.scheme == "dicomweb" and not _is_here(parts.hostname):
            raise UsageError("the login would travel unencrypted", where=self.url, remedy="use dicomwebs://")
        if token:
            session.headers["Authorization"] = f"Bearer {token}"
        elif login:
            name, _, password = login.partition(":")
            session.auth = (name, password)
        # Messages of the library quote addresses and answers.
        logging.getLogger("dicomweb_client").addHandler(logging.NullHandler())
        scheme = "https" if parts.scheme == "dicomwebs" else "http"
        url = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        client = DICOMwebClient(url, session, timeout=_TIMEOUT)
        client.set_http_retry_params(max_attempts=3, wait_exponential_multiplier=250)
        return client


def retrieved(url: str, folder: Path, passed_over: PassedOver) -> Iterator[Source]:
    """Yield the images of a study, a series or an instance, each once it has been retrieved.

    Parameters
    ----------
    url
        ``dicomweb://host/path/studies/UID``, and further ``/series/UID/instances/UID``.
    folder
        Receives the images; results name their addresses instead.
    passed_over
        Counts the instances that are of other classes.

    Raises
    ------
    UsageError
        If the address is wrong.
    """
    found = _STUDY.fullmatch(url)
    if found is None:
        raise UsageError("names no study", where=url, remedy="give dicomwebs://HOST/PATH/studies/UID")
    client, study = Server(found["prefix"]).client(), found["study"]
    try:
        instances = _instances(client, study, found["series"], found["instance"])
    except (requests.RequestException, ValueError) as error:
        yield Source(url, _failed(url, error))
        return
    if not instances:
        yield Source(url, InputError("the server has no such study", where=url, kind="missing"))
    for sop_class, series, instance in instances:
        name = f"{found['prefix']}/studies/{study}/series/{series}/instances/{instance}"
        if sop_class not in STORAGE_CLASSES:
            passed_over.add(name, "other storage class")
            continue
        file = folder / f"{key_of(name)}.dcm"
        try:
            with guarded(name, "the image"):
                dataset = client.retrieve_instance(study, series, instance, media_types=_WHOLE)
                dataset.save_as(file, enforce_file_format=True)
        except InputError as error:
            cause = error.__cause__
            yield Source(file.as_posix(), _failed(name, cause) if cause is not None else error, name)
            continue
        yield Source(str(file), name=name)


def _instances(
    client: DICOMwebClient, study: str, series: str | None, instance: str | None
) -> list[tuple[str, str, str]]:
    """Return class, series and UID of the instances of a study, in a stable order."""
    answer = client.search_for_instances(
        study,
        series,
        fields=["SOPClassUID", "SeriesInstanceUID", "SOPInstanceUID"],
        search_filters={"SOPInstanceUID": instance} if instance else {},
        get_remaining=True,
    )
    found = [(_value(one, _CLASS), _value(one, _SERIES), _value(one, _INSTANCE)) for one in answer]
    return sorted((sop_class, own or series or "", uid) for sop_class, own, uid in found)


def _value(item: Mapping[str, Any], tag: str) -> str:
    values = item.get(tag, {}).get("Value") or [""]
    return str(values[0])


def _failed(where: str, error: BaseException) -> InputError:
    """Say why something could not be retrieved, without what the server says."""
    response: Response | None = getattr(error, "response", None)
    if response is not None and response.status_code == requests.codes.not_found:
        return InputError("the server has no such study", where=where, kind="missing")
    if response is not None:
        remedy = (
            f"set {TOKEN} or {LOGIN}" if response.status_code in (401, 403) else "ask who runs the server"
        )
        what = f"the server answers with status {response.status_code}"
        return InputError(what, where=where, remedy=remedy, kind="unreadable")
    what = f"the server cannot be reached ({type(error).__name__})"
    return InputError(what, where=where, remedy="check the address and the network", kind="missing")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class WebStore:
    """A receiver that takes STOW-RS.

    Parameters
    ----------
    server
        The server, without ``/studies``.

    Raises
    ------
    UsageError
        If its address is wrong.
    """

    def __init__(self, server: Server):
        self._server = server
        self._client = server.client()
        # The outbox has its own pauses.
        self._client.set_http_retry_params(retry=False)

    def __str__(self) -> str:
        return str(self._server)

    def send(self, files: Sequence[Path]) -> Mapping[Path, Sent]:
        """Send files, each in a request of its own, until the server fails."""
        outcome: dict[Path, Sent] = {}
        for file in files:
            outcome[file] = self._stored(file)
            if outcome[file] is Sent.LATER:
                break
        return outcome

    def _stored(self, file: Path) -> Sent:
        try:
            with guarded(str(file), "the file"):
                dataset = dcmread(file)
        except InputError:
            return Sent.REFUSED
        try:
            answer = self._client.store_instances([dataset])
        except requests.HTTPError as error:
            status = 0 if error.response is None else error.response.status_code
            return Sent.REFUSED if 400 <= status < 500 and status not in _LATER else Sent.LATER
        except (requests.RequestException, OSError):
            return Sent.LATER
        except ValueError:
            # It answered something that is no DICOM.
            return Sent.LATER
        return Sent.REFUSED if _has_failed(answer) else Sent.DONE


def _has_failed(answer: Dataset) -> bool:
    # FailedSOPSequence (PS3.18 table I.2-1).
    return bool(answer.get("FailedSOPSequence"))
