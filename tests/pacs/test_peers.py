"""Only those who are named may send."""

from __future__ import annotations

import pytest

from tier_cli.errors import UsageError
from tier_cli.pacs.peers import Address, Peers


@pytest.mark.parametrize(
    ("allowed", "title", "address", "may"),
    [
        ("PACS@10.0.3.7", "PACS", "10.0.3.7", True),
        ("PACS@10.0.3.7", "PACS ", "10.0.3.7", True),
        ("PACS@10.0.3.7", "pacs", "10.0.3.7", False),
        ("PACS@10.0.3.7", "PACS", "10.0.3.8", False),
        ("PACS@10.0.3.0/24", "PACS", "10.0.3.8", True),
        ("PACS@10.0.3.0/24", "PACS", "10.0.4.8", False),
        ("PACS@10.0.3.7", "PACS", "::ffff:10.0.3.7", True),
        ("PACS@[fd00::7]", "PACS", "fd00::7%eth0", True),
        ("CT 1@host@127.0.0.1", "CT 1@host", "127.0.0.1", True),
        ("PACS@localhost", "PACS", "127.0.0.1", True),
    ],
)
def test_title_and_address_must_both_be_named(allowed: str, title: str, address: str, may: bool) -> None:
    assert Peers.parse([allowed]).has(title, address) is may


def test_the_title_of_one_peer_from_the_address_of_another_is_refused() -> None:
    peers = Peers.parse(["A@10.0.0.1", "B@10.0.0.2"])
    assert peers.has_address("10.0.0.2")
    assert not peers.has("A", "10.0.0.2")


@pytest.mark.parametrize(
    "text", ["PACS", "@10.0.3.7", "PACS@", "A_TITLE_OF_17_CHARS@10.0.0.1", "A\\B@10.0.0.1"]
)
def test_a_peer_without_title_or_host_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="give"):
        Peers.parse([text])


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> list[object]:
        raise OSError

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    with pytest.raises(UsageError, match="the name 'nowhere' is unknown"):
        Peers.parse(["PACS@nowhere"])


@pytest.mark.parametrize(
    "text", ["ARCHIVE@10.0.3.7:104", "ARCHIVE@[fd00::7]:104", "ARCHIVE@pacs.example:11112"]
)
def test_a_receiver_is_shown_as_it_was_given(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["ARCHIVE@10.0.3.7", "10.0.3.7:104", "ARCHIVE@10.0.3.7:0", "ARCHIVE@h:70000"]
)
def test_a_receiver_without_port_or_title_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no receiver"):
        Address.parse(text)
