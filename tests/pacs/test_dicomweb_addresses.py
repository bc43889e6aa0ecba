"""Addresses of DICOMweb servers: logins stay out of them, and a server that is away costs one row."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tier_cli.app import main
from tier_cli.errors import UsageError
from tier_cli.imaging.discover import PassedOver
from tier_cli.pacs.dicomweb import LOGIN, TOKEN, Server, retrieved

STUDY = "studies/1.2.3"


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_a_login_does_not_travel_unencrypted() -> None:
    for variable in (TOKEN, LOGIN):
        with pytest.raises(UsageError, match="unencrypted") as refused:
            Server("dicomweb://pacs.example/rs").client({variable: "secret:secret"})
        assert "secret" not in str(refused.value)
    assert Server("dicomwebs://pacs.example/rs").client({TOKEN: "secret"}).protocol == "https"
    assert Server("dicomweb://127.0.0.1:8042/rs").client({TOKEN: "secret"}).protocol == "http"


def test_a_login_in_an_address_is_refused_and_not_repeated() -> None:
    """Addresses are in results, and options in the list of processes."""
    with pytest.raises(UsageError, match=TOKEN) as refused:
        Server("dicomwebs://me:secret@pacs.example/rs").client({})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("path", ["", "studies", "studies/x", "studies/1.2/series", "patients/1"])
def test_an_address_without_study_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no study"):
        list(retrieved(f"dicomweb://127.0.0.1/rs/{path}", tmp_path, PassedOver()))


def test_a_server_that_is_away_becomes_a_row(
    nobody: str, model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"dicomweb://{nobody}/rs/{STUDY}"
    code = main(["classify", url, "--model", model])
    result = json.loads(capfd.readouterr().out)
    assert code == 3
    assert result["path"] == url
    assert result["error"]["kind"] == "missing"
    assert "cannot be reached" in result["error"]["message"]


def test_a_preview_retrieves_nothing(nobody: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", f"dicomweb://{nobody}/rs/{STUDY}", "--dry-run"]) == 2
    assert "retrieves nothing" in capfd.readouterr().err
    assert main(["classify", f"dicomweb://{nobody}/rs/{STUDY}", "--sr", "reports"]) == 2
    assert "needs the images as files" in capfd.readouterr().err
