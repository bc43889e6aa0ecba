"""Read the text file of a report."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

from tier_cli.errors import UsageError

# No report is longer; another file may have been meant.
_LARGEST = 1 << 17


def read_report(source: str | BinaryIO, where: str, remedy: str) -> str:
    """Return the text of a report.

    Parameters
    ----------
    source
        A path, or an open file such as stdin.
    where
        The argument or option that names the file.
    remedy
        How to name the right file.

    Raises
    ------
    UsageError
        If it cannot be read, or is no text of at most 128 kB.
    """
    try:
        with _opened(source) as file:
            raw = file.read(_LARGEST + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=where, remedy=remedy) from error
    except UnicodeDecodeError as error:
        raise UsageError("is not a text in UTF-8", where=where, remedy=remedy) from error
    if len(raw) > _LARGEST or "\0" in text:
        raise UsageError("is no report", where=where, remedy="give a text file of at most 128 kB")
    return text


def _opened(source: str | BinaryIO) -> AbstractContextManager[BinaryIO]:
    return Path(source).open("rb") if isinstance(source, str) else nullcontext(source)
