"""Retrieve studies from a DICOMweb server, and store results there (PS3.18)."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset, dcmread
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tier_cli.errors import InputError, StorageError, UsageError
from tier_cli.imaging.discover import PassedOver, Source
from tier_cli.imaging.guard import guarded
from tier_cli.pacs.outbox import Sent
from tier_cli.pacs.spool import key_of
from tier_cli.pacs.storage_classes import STORAGE_CLASSES

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

# The token, or user and password as user:password. They are never options, which other users can see.
TOKEN, LOGIN = "TIER_DICOMWEB_TOKEN", "TIER_DICOMWEB_LOGIN"
_TIMEOUT = 60.0
# Bytes and seconds of one answer; an image must fit into the memory.
_LONGEST_ANSWER, _LONGEST_WAIT = 256_000_000, 300.0
_UID = r"[0-9.]{1,64}"
_STUDY = re.compile(
    rf"(?P<prefix>.*)/studies/(?P<study>{_UID})(?:/series/(?P<series>{_UID})(?:/instances/(?P<instance>{_UID}))?)?/?"
)
_WHOLE = (("application/dicom", "*"),)
# For what reads: what stores is repeated by the outbox.
_AGAIN = Retry(
    2,
    backoff_factor=0.25,
    status_forcelist=(429, 503, 504),
    raise_on_status=False,
    respect_retry_after_header=False,
)
# A later attempt may succeed: no login yet, too many requests, or the server's own trouble.
_LATER = frozenset({401, 403, 404, 408, 429})
_ASK = "ask who runs the server"
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
        # Another host must not get images, reports or a login.
        session.max_redirects = 0
        session.hooks["response"].append(_bounded)
        token, login = environment.get(TOKEN), environment.get(LOGIN)
        if (token or login) and parts.scheme == "dicomweb" and not _is_here(parts.hostname):
            raise UsageError("the login would travel unencrypted", where=self.url, remedy="use dicomwebs://")
        if token:
            session.headers["Authorization"] = f"Bearer {token}"
        elif login:
            name, _, password = login.partition(":")
            session.auth = (name, password)
        if session.auth is None:
            # Or ~/.netrc would add its login, or replace the token.
            session.auth = _unchanged
        for prefix in ("http://", "https://"):
            session.mount(prefix, HTTPAdapter(max_retries=_AGAIN))
        # Their messages quote addresses and answers.
        for library in ("dicomweb_client", "retrying"):
            logging.getLogger(library).addHandler(logging.NullHandler())
        scheme = "https" if parts.scheme == "dicomwebs" else "http"
        url = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        client = DICOMwebClient(url, session, timeout=_TIMEOUT)
        # It would also repeat answers without end.
        client.set_http_retry_params(retry=False)
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
    except InputError as error:
        yield Source(url, _failed(url, error))
        return
    if not instances:
        yield Source(url, InputError("the server has no such study", where=url, kind="missing"))
    for sop_class, series, instance in instances:
        name = f"{found['prefix']}/studies/{study}/series/{series}/instances/{instance}"
        if sop_class and sop_class not in STORAGE_CLASSES:
            passed_over.add(name, "other storage class")
            continue
        file = folder / f"{key_of(name)}.dcm"
        try:
            with guarded(name, "the image"):
                dataset = client.retrieve_instance(study, series, instance, media_types=_WHOLE)
                if dataset.SOPInstanceUID != instance:
                    raise InputError("the server sent another image", remedy=_ASK)
                dataset.save_as(file, enforce_file_format=True)
        except InputError as error:
            yield Source(file.as_posix(), _failed(name, error), name)
            continue
        yield Source(str(file), name=name)


def _instances(
    client: DICOMwebClient, study: str, series: str | None, instance: str | None
) -> list[tuple[str, str, str]]:
    """Return class, series and UID of the instances of a study, in a stable order; raises `InputError`."""
    found: dict[str, tuple[str, str, str]] = {}
    answered = 0
    with guarded("", "the answer"):
        while True:
            answer = client.search_for_instances(
                study,
                series,
                offset=answered,
                fields=["SOPClassUID", "SeriesInstanceUID", "SOPInstanceUID"],
                search_filters={"SOPInstanceUID": instance} if instance else {},
            )
            known = len(found)
            for one in answer:
                uid, own = _uid(one, _INSTANCE), _uid(one, _SERIES, series)
                found[uid] = (_uid(one, _CLASS, ""), own, uid)
            answered += len(answer)
            # Some servers know no offset, and answer the same again.
            if len(found) == known:
                return sorted(found.values())


def _uid(item: Mapping[str, Any], tag: str, otherwise: str | None = None) -> str:
    """Return a UID of an answer; raises ValueError if it is none, because it becomes a part of an address."""
    values = item.get(tag, {}).get("Value") or [otherwise]
    if values[0] == "":
        return ""
    if not isinstance(values[0], str) or not re.fullmatch(_UID, values[0]):
        raise ValueError
    return values[0]


def _failed(where: str, error: InputError) -> InputError:
    """Say why something could not be retrieved, without what the server says; raises `StorageError`."""
    cause = error.__cause__
    response: Response | None = getattr(cause, "response", None)
    if response is not None and response.status_code == requests.codes.not_found:
        return InputError("the server has no such study", where=where, kind="missing")
    if response is not None:
        what = f"the server answers with status {response.status_code}"
        return InputError(what, where=where, remedy=_remedy(response), kind="unreadable")
    if isinstance(cause, (requests.ConnectionError, requests.Timeout)):
        what = f"the server cannot be reached ({type(cause).__name__})"
        return InputError(what, where=where, remedy="check the address and the network", kind="missing")
    if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException):
        raise StorageError(
            f"images of the server cannot be written to the temporary folder ({cause.strerror})",
            where="TMPDIR",
            remedy="make room, or name another folder",
        ) from cause
    if cause is None:
        return InputError(error.what, where=where, remedy=error.remedy, kind=error.kind)
    what = f"the server's answer cannot be read ({type(cause).__name__})"
    return InputError(what, where=where, remedy=_ASK, kind="unreadable")


def _remedy(response: Response) -> str:
    if response.is_redirect:
        return "give the address to which it redirects"
    return f"set {TOKEN} or {LOGIN}" if response.status_code in (401, 403) else _ASK


class TooLongError(requests.RequestException):
    """An answer has more bytes, or takes longer, than any image."""


class _BoundedBody:
    """The body of an answer, which ends with `TooLongError` instead of never.

    Parameters
    ----------
    raw
        The body, as urllib3 reads it.
    """

    def __init__(self, raw: Any):
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, amount: int, decode_content: bool | None = None) -> Iterator[bytes]:
        """Yield what comes, as it comes."""
        left, end = _LONGEST_ANSWER, time.monotonic() + _LONGEST_WAIT
        try:
            while part := self._raw.read1(amount, decode_content=decode_content):
                left -= len(part)
                if left < 0 or time.monotonic() > end:
                    raise TooLongError
                yield part
        finally:
            # A body that ended early, or was given up, would keep its socket open.
            self._raw.close()


def _bounded(response: Response, *_: object, **__: object) -> None:
    response.raw = _BoundedBody(response.raw)


def _unchanged(request: PreparedRequest) -> PreparedRequest:
    return request


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
