"""Find the image files that a command is given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tier_cli.console import print_detail
from tier_cli.errors import UsageError, counted
from tier_cli.packages import require_extras

if TYPE_CHECKING:
    from tier_cli.imaging.discover import PassedOver, Source

# Inputs of `tier classify` that a DICOMweb server has: by HTTP, and by HTTPS.
DICOMWEB_SCHEMES = ("dicomweb://", "dicomwebs://")


def counter(paths: list[str]) -> Callable[[], int] | None:
    """Return a function that counts the files, or None if their list comes from stdin or a server."""
    from tier_cli.imaging.discover import discover

    if "-" in paths or on_server(paths):
        return None
    return lambda: sum(1 for _ in discover(paths))


def on_server(paths: list[str]) -> bool:
    """Return whether an input is on a DICOMweb server."""
    return any(path.startswith(DICOMWEB_SCHEMES) for path in paths)


def _found(paths: list[str], passed_over: PassedOver) -> Iterator[Source]:
    from tier_cli.imaging.discover import discover

    stdin = _stdin() if "-" in paths else None
    if not on_server(paths):
        yield from discover(paths, stdin, passed_over)
        return
    for path in paths:
        yield from (
            _retrieved(path, passed_over) if on_server([path]) else discover([path], stdin, passed_over)
        )


def _retrieved(url: str, passed_over: PassedOver) -> Iterator[Source]:
    """Yield images of a DICOMweb server, which are deleted once they have been read."""
    require_extras(url.partition("://")[0] + "://", "pacs")
    from tempfile import TemporaryDirectory

    from tier_cli.imaging.discover import PAUSE
    from tier_cli.pacs.dicomweb import retrieved

    with TemporaryDirectory(prefix="tier-", ignore_cleanup_errors=True) as folder:
        yield from retrieved(url, Path(folder), passed_over)
        # Whoever asks for more has the results of all images so far.
        yield PAUSE


def sources_of(paths: list[str], passed_over: PassedOver) -> Iterator[Source]:
    """Find the files; if there are none, refuse before a model is loaded.

    Parameters
    ----------
    paths
        As given on the command line.
    passed_over
        Counts the files of folders that are no images.

    Raises
    ------
    UsageError
        If no image is found.
    """
    from tier_cli.imaging.discover import PAUSE

    sources = _found(paths, passed_over)
    first = next((source for source in sources if source is not PAUSE), None)
    if first is None and paths == ["-"]:
        raise UsageError("the list on stdin is empty", where="-", remedy="write one path per line")
    if first is None:
        raise UsageError(
            "no images found" + skipped_text(passed_over, " among {}: {}"),
            where=", ".join(paths[:3]) + (", ..." if len(paths) > 3 else ""),
            remedy="give DICOM, PNG, JPEG or TIFF files, or folders that contain some; "
            "files are recognised by content, not by name",
        )
    return chain((first,), sources)


def passing_over(silent: bool) -> PassedOver:
    """Return a counter of skipped files, which names each of them with --verbose unless `silent`."""
    from tier_cli.imaging.discover import PassedOver

    if silent:
        return PassedOver()
    return PassedOver(lambda path, reason: print_detail(f"{path}: skipped ({reason})"))


def skipped_text(skipped: PassedOver, form: str = "Skipped {} in folders: {}") -> str:
    """Put the number of skipped files and their reasons into a form; return "" if there are none."""
    count = skipped.counts.total()
    return form.format("1 file" if count == 1 else f"{count} files", counted(skipped.counts)) if count else ""


def _stdin() -> BinaryIO | None:
    if sys.stdin is None:
        return None
    # Bytes: a list may be in UTF-16, and file names on Unix need not be UTF-8.
    binary: BinaryIO | None = getattr(sys.stdin, "buffer", None)
    return binary or BytesIO(sys.stdin.read().encode("utf-8", "surrogateescape"))
