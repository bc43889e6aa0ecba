"""Know who may send images, and where results go."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from tier_cli.errors import UsageError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# PS3.5 6.2, AE: at most 16 characters, no backslash and no control characters.
_TITLE = re.compile(r"[ -\[\]-~]{1,16}")
_DESTINATION = re.compile(r"(?P<title>.+)@(?P<host>\[[^\]]+\]|[^@:]+):(?P<port>\d{1,5})")


def check_title(title: str, option: str) -> str:
    """Return an AE title without surrounding spaces; raises `UsageError` if it is none."""
    stripped = title.strip()
    if not stripped or not _TITLE.fullmatch(stripped):
        raise UsageError(
            f"'{title}' is no AE title",
            where=option,
            remedy="give 1 to 16 letters and digits",
        )
    return stripped


@dataclass(frozen=True)
class Peer:
    """One application entity that may open associations.

    Parameters
    ----------
    title
        Its AE title.
    networks
        The addresses that it may come from.
    """

    title: str
    networks: tuple[Network, ...]

    @classmethod
    def parse(cls, text: str) -> Peer:
        """Read ``AE@host``: the host is an address, a network such as 10.0.3.0/24, or a name.

        A name is looked up once.

        Raises
        ------
        UsageError
            If the text has another form, or the name is unknown.
        """
        title, at, host = text.rpartition("@")
        if not at or not host:
            raise UsageError(
                f"'{text}' names no peer", where="--allow", remedy="give AE@host, such as PACS@10.0.3.7"
            )
        return cls(check_title(title, "--allow"), _networks(host.strip("[]")))

    def has(self, address: str) -> bool:
        """Return whether the peer may come from an address."""
        return any(_plain(address) in network for network in self.networks)


@dataclass(frozen=True)
class Peers:
    """All application entities that may open associations.

    Parameters
    ----------
    peers
        The peers; None lets anybody in.
    """

    peers: tuple[Peer, ...] | None

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Peers:
        """Read several peers, see `Peer.parse`."""
        return cls(tuple(map(Peer.parse, texts)))

    def has_address(self, address: str) -> bool:
        """Return whether some peer may come from an address."""
        return self.peers is None or any(peer.has(address) for peer in self.peers)

    def has(self, title: str, address: str) -> bool:
        """Return whether a peer of this AE title may come from an address."""
        if self.peers is None:
            return True
        return any(peer.title == title.strip() and peer.has(address) for peer in self.peers)


@dataclass(frozen=True)
class Address:
    """An application entity that receives by C-STORE.

    Parameters
    ----------
    title, host, port
        Its AE title, and where it listens.
    """

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.title}@{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``AE@host:port``; raises `UsageError`."""
        found = _DESTINATION.fullmatch(text)
        if found is None or not 0 < int(found["port"]) < 1 << 16:
            raise UsageError(
                f"'{text}' names no receiver",
                where="--send-to",
                remedy="give AE@host:port, such as ARCHIVE@10.0.3.7:104",
            )
        return cls(check_title(found["title"], "--send-to"), found["host"].strip("[]"), int(found["port"]))


def _networks(host: str) -> tuple[Network, ...]:
    try:
        return (ipaddress.ip_network(host, strict=False),)
    except ValueError:
        pass
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        raise UsageError(
            f"the name '{host}' is unknown", where="--allow", remedy="check it, or give an address"
        ) from None
    return tuple(ipaddress.ip_network(_plain(address)) for address in sorted(found))


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address without scope; an IPv4 address in an IPv6 one becomes itself."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
