"""Turn everything that a reader raises or warns about into one `InputError`."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tier_cli.errors import InputError

# Libraries that log problems of a file, including values of patient attributes.
_TALKATIVE = ("pydicom", "pylibjpeg", "openjpeg", "PIL", "highdicom")


@contextmanager
def guarded(path: str, what: str) -> Iterator[None]:
    """Silence the libraries and turn their exceptions into an `InputError` of kind ``unreadable``.

    Decoders raise almost every kind of exception on broken files. Their messages quote values, which may be
    patient data, so only the type of the exception is reported.
    """
    try:
        with warnings.catch_warnings(), _without_logging():
            warnings.simplefilter("ignore")
            yield
    except InputError as error:
        if error.where is None:
            raise InputError(error.what, where=path, remedy=error.remedy, kind=error.kind) from None
        raise
    except ModuleNotFoundError:
        # A package that is not installed is no fault of the file.
        raise
    except MemoryError as error:
        raise out_of_memory(path) from error
    except Exception as error:
        raise InputError(
            f"{what} cannot be decoded ({type(error).__name__})",
            where=path,
            remedy="export or copy the file again",
            kind="unreadable",
        ) from error


def out_of_memory(path: str) -> InputError:
    """Return the error of a file that needs more memory than there is, or than a file may take."""
    return InputError(
        "reading it takes too much memory",
        where=path,
        remedy="use fewer --workers, or allow more with --memory-per-file",
        kind="memory_limit",
    )


def silence_gdcm() -> None:
    """Stop GDCM, once imported, from writing to the process's stderr."""
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
