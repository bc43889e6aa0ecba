"""What commands that read images share: the files, and how they are read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from itertools import chain
from typing import TYPE_CHECKING

from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from tier_cli.commands.options import Unit, ViewsName
    from tier_cli.imaging.discover import Source
    from tier_cli.imaging.radiograph import ReadOptions
    from tier_cli.pipeline.stream import StreamOptions


def reading(views: ViewsName, window: int, accept_any: bool, include_phi: bool) -> ReadOptions:
    """Say how files are read."""
    from tier_cli.imaging.radiograph import ReadOptions

    # People count windows from 1, as DCMTK does.
    return ReadOptions(window=window - 1, views=views.value, accept_any=accept_any, include_phi=include_phi)


def stream_options(
    by: Unit, fail_fast: bool, batch_size: int | None, workers: int | None, read: ReadOptions
) -> StreamOptions:
    """Say how the run goes."""
    from tier_cli.pipeline.stream import StreamOptions

    return StreamOptions(read, batch_size, workers, by.value, fail_fast)


def counter(paths: list[str]) -> Callable[[], int] | None:
    """Give a function that counts the files, unless they stand in a list that can be read only once."""
    from tier_cli.imaging.discover import discover

    return None if "-" in paths else lambda: sum(1 for _ in discover(paths))


def sources_of(paths: list[str]) -> Iterator[Source]:
    """Find the files, or refuse before a model is loaded for none."""
    from tier_cli.imaging.discover import discover

    if "-" in paths and isinstance(sys.stdin, TextIOWrapper):
        # File names on Unix need not be UTF-8.
        sys.stdin.reconfigure(errors="surrogateescape")
    sources = discover(paths, sys.stdin)
    first = next(sources, None)
    if first is None and paths == ["-"]:
        raise UsageError("the list on stdin is empty", where="-", remedy="give one path a line")
    if first is None:
        raise UsageError(
            "no images were found",
            where=", ".join(paths[:3]) + (", ..." if len(paths) > 3 else ""),
            remedy="looked for DICOM, PNG, JPEG and TIFF files, told by content, also in folders below",
        )
    return chain((first,), sources)
