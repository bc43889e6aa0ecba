"""Read a list of paths, as people and programs write them: a text file, or what arrives on stdin."""

from __future__ import annotations

import codecs
import os
import re
import select
import stat
from collections.abc import Iterator
from typing import BinaryIO

from tier_cli.errors import InputError
from tier_cli.imaging.sniff import HEAD_BYTES, content_of

ENDINGS = (".txt", ".lst", ".list")

_CHUNK = 1 << 16
# A producer that is silent for this many seconds gets the results of what it has sent so far.
_PATIENCE = 0.05
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
# More control characters than this share of the text: it is no text.
_MOST_CONTROL = 0.05


def list_entries(stream: BinaryIO, origin: str) -> Iterator[str | None]:
    """Yield the paths of a list as they arrive; None while the next one has not arrived yet.

    The list has one path per line, or paths that end in NUL as those of ``find -print0``. It is UTF-8 or
    UTF-16, with or without a byte order mark. Blank lines, comments (``#``), quotes around a path and blanks
    behind it are not part of a path, unless a file of exactly that name exists.

    Parameters
    ----------
    stream
        Open for bytes.
    origin
        The name of the list, for messages.

    Raises
    ------
    InputError
        The list is not text.
    """
    rest = ""
    separator = ""
    try:
        for text in _texts(stream, origin):
            if text is None:
                yield None
                continue
            separator = separator or _separator(text, origin)
            *lines, rest = (rest + text).split(separator)
            yield from _paths(lines, separator)
    except UnicodeError:
        raise _refused(origin, "the list cannot be decoded as UTF-16") from None
    yield from _paths([rest], separator)


def _paths(lines: list[str], separator: str) -> Iterator[str]:
    for line in lines:
        path = line if separator == "\0" else _path(line)
        if path:
            yield path


def _path(line: str) -> str:
    """Return the path that a line names; blank for a comment."""
    line = line.rstrip("\r")
    path = line.strip()
    if not path or "\0" in path or os.path.lexists(line):
        return line if path else ""
    if path.startswith("#"):
        return ""
    if len(path) > 1 and path[0] == path[-1] and path[0] in "\"'":
        return path[1:-1]
    return path


def _texts(stream: BinaryIO, origin: str) -> Iterator[str | None]:
    """Yield the decoded list in pieces; None before a wait."""
    decoder: codecs.IncrementalDecoder | None = None
    head = b""
    for chunk in _chunks(stream):
        if chunk is None:
            yield None
            continue
        head += chunk
        # Two bytes tell UTF-16 from UTF-8.
        if decoder is None and len(head) < 2:
            continue
        if decoder is None:
            if content_of(head[:HEAD_BYTES]):
                raise _refused(origin, "an image was given in place of a list of paths")
            decoder, chunk = codecs.getincrementaldecoder(_encoding(head))(_ERRORS), head
        yield decoder.decode(chunk)
        head = b"" if decoder else head
    if decoder is None:
        yield head.decode("utf-8", _ERRORS)
    else:
        yield decoder.decode(b"", final=True)


# File names on Unix need not be UTF-8.
_ERRORS = "surrogateescape"


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Without a mark: in UTF-16, every other byte of a text in Latin letters is NUL.
    odd, even = head[1:_CHUNK:2], head[0:_CHUNK:2]
    if len(head) >= 4 and odd.count(0) > len(odd) / 2 and even.count(0) < len(even) / 4:
        return "utf-16-le"
    if len(head) >= 4 and even.count(0) > len(even) / 2 and odd.count(0) < len(odd) / 4:
        return "utf-16-be"
    return "utf-8-sig"


def _separator(text: str, origin: str) -> str:
    separator = "\0" if "\0" in text else "\n"
    names = text.replace(separator, "")
    if len(_CONTROL.findall(names)) > _MOST_CONTROL * len(names):
        raise _refused(origin, "the list is not a text")
    return separator


def _refused(origin: str, what: str) -> InputError:
    return InputError(what, where=origin, remedy="write one path per line, as UTF-8 text", kind="unreadable")


def _chunks(stream: BinaryIO) -> Iterator[bytes | None]:
    """Yield what arrives; None before a wait."""
    # Not read(): it would wait for a full block, while a producer waits for its first result.
    read = getattr(stream, "read1", stream.read)
    descriptor = _waitable(stream)
    while True:
        if descriptor is not None and not select.select([descriptor], [], [], _PATIENCE)[0]:
            yield None
            select.select([descriptor], [], [])
        chunk = read(_CHUNK)
        if not chunk:
            return
        yield chunk


def _waitable(stream: BinaryIO) -> int | None:
    """Return the descriptor of a stream whose writer may pause; None where that cannot be known."""
    try:
        descriptor = stream.fileno()
        # Windows can select sockets only.
        waits = os.name == "posix" and not stat.S_ISREG(os.fstat(descriptor).st_mode)
    except (OSError, ValueError):
        return None
    return descriptor if waits else None
