"""What decoders say about a file stays out of messages: it may quote a patient's data."""

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


def test_what_a_decoder_says_is_not_repeated(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError) as caught, guarded("a.dcm", "the file"):
        complain()
    assert "ValueError" in str(caught.value)
    assert "Doe" not in str(caught.value)
    assert "Doe" not in caplog.text + capsys.readouterr().err
