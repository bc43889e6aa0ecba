"""Decoder messages are not repeated, because they may quote a patient's data."""

from __future__ import annotations

import logging
import warnings

import pytest

from tier_cli.errors import InputError
from tier_cli.imaging.guard import guarded


def complain() -> None:
    warnings.warn("Doe^Jane", stacklevel=1)
    logging.getLogger("pydicom").error("Doe^Jane")
    raise ValueError("Doe^Jane")


def test_decoder_messages_are_not_repeated(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError) as caught, guarded("a.dcm", "the file"):
        complain()
    assert "ValueError" in str(caught.value)
    assert "Doe" not in str(caught.value)
    assert "Doe" not in caplog.text + capsys.readouterr().err
