"""Print messages on stderr without Rich, which would delay errors by its import."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass

import typer


@dataclass
class _Verbosity:
    quiet: bool = False
    verbose: bool = False


_verbosity = _Verbosity()


def set_verbosity(*, quiet: bool | None = None, verbose: bool | None = None) -> None:
    """Choose what is printed beside results and errors: with `quiet` nothing, with `verbose` details too."""
    if quiet is not None:
        _verbosity.quiet = quiet
    if verbose is not None:
        _verbosity.verbose = verbose


def is_quiet() -> bool:
    """Return whether progress and remarks are to be omitted."""
    return _verbosity.quiet


def is_verbose() -> bool:
    """Return whether details are to be printed."""
    return _verbosity.verbose and not _verbosity.quiet


def print_message(message: str, *, colour: str | None = None) -> None:
    """Print one message line, unless ``--quiet`` was given."""
    if not _verbosity.quiet:
        _print_line(message, colour)


def print_detail(message: str) -> None:
    """Print one line that only ``--verbose`` asks for."""
    if is_verbose():
        _print_line(message, "bright_black")


def print_error(message: str) -> None:
    """Print an error as one line."""
    _print_line(f"Error: {message}", "red")


def _print_line(message: str, colour: str | None) -> None:
    # A terminal that is gone, as after SIGHUP, or a closed pipe: nobody is there to be told.
    with suppress(OSError):
        typer.secho(printable(message), err=True, fg=colour)


def printable(text: str) -> str:
    """Escape control characters, which file names may contain and terminals obey."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def is_terminal(name: str) -> bool:
    """Return whether ``stdout`` or ``stderr`` is a terminal."""
    stream = getattr(sys, name)
    return stream is not None and not stream.closed and stream.isatty()


def discard_stdout() -> None:
    """Discard buffered output that nobody reads any more, or Python reports an error at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
