"""Find the image files that a command is given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from itertools import chain
from typing import TYPE_CHECKING

from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from tier_cli.imaging.discover import Source


def counter(paths: list[str]) -> Callable[[], int] | None:
    """Return a function that counts the files, or None if their list comes from stdin."""
    from tier_cli.imaging.discover import discover

    return None if "-" in paths else lambda: sum(1 for _ in discover(paths))


def sources_of(paths: list[str]) -> Iterator[Source]:
    """Find the files; if there are none, refuse before a model is loaded.

    Raises
    ------
    UsageError
        If no image is found.
    """
    from tier_cli.imaging.discover import discover

    if "-" in paths and isinstance(sys.stdin, TextIOWrapper):
        # File names on Unix need not be UTF-8.
        sys.stdin.reconfigure(errors="surrogateescape")
    sources = discover(paths, sys.stdin)
    first = next(sources, None)
    if first is None and paths == ["-"]:
        raise UsageError("the list on stdin is empty", where="-", remedy="write one path per line")
    if first is None:
        raise UsageError(
            "no images found",
            where=", ".join(paths[:3]) + (", ..." if len(paths) > 3 else ""),
            remedy="give DICOM, PNG, JPEG or TIFF files, or folders that contain some; "
            "files are recognised by content, not by name",
        )
    return chain((first,), sources)
