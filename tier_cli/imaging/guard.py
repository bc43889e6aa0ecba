"""One way out of a bad file: whatever a reader raises or warns of becomes one refusal."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tier_cli.errors import InputError

# Libraries that log what they dislike about a file, values of patients' attributes included.
_TALKATIVE = ("pydicom", "pylibjpeg", "openjpeg", "PIL")


@contextmanager
def guarded(path: str, what: str) -> Iterator[None]:
    """Silence the libraries and turn their exceptions into an `InputError` of kind ``unreadable``.

    Decoders raise nearly every kind of exception on broken files. Their messages quote values, which may be
    a patient's, so only the exception's type is told.
    """
    try:
        with warnings.catch_warnings(), _without_logging():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(
            "it does not fit into memory", where=path, remedy="use fewer --workers", kind="too_large"
        ) from error
    except Exception as error:
        raise InputError(
            f"{what} cannot be decoded ({type(error).__name__})",
            where=path,
            remedy="export or copy the file again",
            kind="unreadable",
        ) from error


def silence_gdcm() -> None:
    """Keep GDCM, once imported, from writing to the process's stderr by itself."""
    if gdcm := sys.modules.get("gdcm"):
        gdcm.Trace.WarningOff()
        gdcm.Trace.ErrorOff()


@contextmanager
def _without_logging() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    silent = logging.NullHandler()
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.propagate = False
        logger.addHandler(silent)
    try:
        yield
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.propagate = propagate
            logger.removeHandler(silent)
