"""Print messages on stderr without Rich, which would delay errors by its import."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import typer


def print_message(message: str, *, colour: str | None = None) -> None:
    """Print one message line."""
    typer.secho(printable(message), err=True, fg=colour)


def print_error(message: str) -> None:
    """Print an error as one line."""
    print_message(f"Error: {message}", colour="red")


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
