"""Lines for people, on stderr. Light: an error must not have to wait for Rich to load."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import typer


def tell(message: str, *, colour: str | None = None) -> None:
    """Print one line for people."""
    typer.secho(printable(message), err=True, fg=colour)


def tell_error(message: str) -> None:
    """Print an error as one line."""
    tell(f"Error: {message}", colour="red")


def printable(text: str) -> str:
    """Give text without control characters, which file names may hold and terminals obey."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def is_terminal(name: str) -> bool:
    """Tell whether ``stdout`` or ``stderr`` is a terminal."""
    stream = getattr(sys, name)
    return stream is not None and not stream.closed and stream.isatty()


def forget_stdout() -> None:
    """Send what is still buffered nowhere once nobody reads it, or Python complains about it at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
