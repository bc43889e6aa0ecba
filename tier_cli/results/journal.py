"""Keep the outcome of each file in an append-only journal, from which a run goes on and is written out.

One JSON object per line; its first key, ``sum``, is the checksum of the rest of the line. The first line is
the header. A line that is torn, or whose checksum is wrong, counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from array import array
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from tier_cli.errors import JournalError, StorageError
from tier_cli.files.atomic import sync_folder
from tier_cli.imaging.opening import open_file

FORMAT = 1
_HEADER = "journal"
_SUM = b'{"sum": "%s", '
_SUM_DIGITS = 16
_PREFIX = len(_SUM) - 2 + _SUM_DIGITS
# A power failure loses no more than the lines of this time, or this many.
_SYNC_SECONDS, _SYNC_LINES = 5.0, 1000
# Bounds the memory that a damaged journal can claim; the line of a file with 1,000 findings has 30 kB.
_LONGEST = 1 << 24
_MOST_FILES = 50_000_000

Document = dict[str, Any]


@dataclass
class Contents:
    """What a journal holds.

    Parameters
    ----------
    header
        Describes the run.
    places
        The offset of the line that holds the result of each file, by the file's number; -1 without one.
    keys, offsets
        For each line with a result, in the order of the journal, the `path_key` of its file and the offset.
    passed_over
        The `path_key` of the files that are not images.
    end
        What the last line says of the whole run; None if it did not reach its end.
    damaged
        The number of lines that cannot be used.
    whole
        The length in bytes, without a torn last line.
    """

    header: Document
    places: array[int] = field(default_factory=lambda: array("q"))
    keys: array[int] = field(default_factory=lambda: array("Q"))
    offsets: array[int] = field(default_factory=lambda: array("q"))
    passed_over: set[int] = field(default_factory=set)
    end: Document | None = None
    damaged: int = 0
    whole: int = 0

    @property
    def results(self) -> int:
        """The number of files that have a result."""
        return sum(place >= 0 for place in self.places)

    def add(self, line: Document, offset: int) -> None:
        """Take one line into account, or raise one of the errors of a senseless one."""
        if "end" in line:
            self.end = dict(line["end"])
        elif "passed_over" in line:
            self.passed_over.add(path_key(line["path"]))
        elif not 0 <= line["n"] < _MOST_FILES:
            raise ValueError
        elif "gone" in line:
            self.end = None
            set_place(self.places, line["n"], -1)
        else:
            self.end = None
            self.keys.append(path_key(line["path"]))
            self.offsets.append(offset)
            set_place(self.places, line["n"], offset)


def set_place(places: array[int], number: int, place: int) -> None:
    """Set one place; those before it that are missing become -1."""
    if number >= len(places):
        places.extend([-1] * (number + 1 - len(places)))
    places[number] = place


def path_key(path: str) -> int:
    """Return 64 bits of a hash of a path: memory per file stays small. Whoever uses it compares the path."""
    data = path.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def read_journal(path: Path) -> Contents:
    """Read a journal.

    Raises
    ------
    JournalError
        If it is missing, no journal, or of another version.
    """
    try:
        with open_file(str(path)) as file:
            return _contents(path, file)
    except OSError as error:
        raise JournalError(
            f"the journal cannot be read ({error.strerror})", where=str(path), remedy="check its name"
        ) from None


def _contents(path: Path, file: IO[bytes]) -> Contents:
    header = document_of(file.readline(_LONGEST))
    if header is None or not isinstance(header.get(_HEADER), int):
        raise JournalError(
            "its first line is damaged, or it is no journal",
            where=str(path),
            remedy="name a journal of `tier classify`, or score again with another --journal FILE",
        )
    if header[_HEADER] != FORMAT:
        raise JournalError(
            f"has version {header[_HEADER]}, this release reads version {FORMAT}",
            where=str(path),
            remedy="use the release that wrote it",
        )
    contents = Contents(header, whole=file.tell())
    while line := file.readline(_LONGEST):
        if not line.endswith(b"\n") and len(line) < _LONGEST:
            break
        document = document_of(line)
        try:
            if document is None:
                raise ValueError
            contents.add(document, contents.whole)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
            contents.damaged += 1
        contents.whole += len(line)
    return contents


def line_of(document: Mapping[str, Any]) -> bytes:
    """Return a line with its checksum and its newline."""
    rest = json.dumps(document).encode("ascii")[1:]
    return _SUM % _sum(rest) + rest + b"\n"


def document_of(line: bytes) -> Document | None:
    """Return what a line says; None if it is torn or damaged."""
    rest = line[_PREFIX:-1]
    if line[-1:] != b"\n" or line[:_PREFIX] != _SUM % _sum(rest):
        return None
    try:
        document = json.loads(b"{" + rest)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def document_at(file: IO[bytes], offset: int) -> Document | None:
    """Return the line of a journal at an offset; None if it is damaged."""
    file.seek(offset)
    return document_of(file.readline(_LONGEST))


def _sum(rest: bytes) -> bytes:
    return hashlib.blake2b(rest, digest_size=_SUM_DIGITS // 2).hexdigest().encode("ascii")


class Journal:
    """A journal that is open for one run; no other run can open it in the meantime.

    Parameters
    ----------
    path
        The file; created if it is missing.
    header
        Describes the run; written to a new journal.
    resume
        Go on with a journal that holds results; without this it is refused, so that nothing is lost.
    private
        Only the owner may read it.

    Attributes
    ----------
    contents
        What the journal held when it was opened.
    fresh
        Whether it is new, or was written anew because it held no result.

    Raises
    ------
    JournalError
        If it holds results and `resume` is false, if it cannot be used, or if another run writes to it.
    StorageError
        If it cannot be written.
    """

    def __init__(self, path: Path, header: Document, *, resume: bool = False, private: bool = False):
        self.path = path
        self._unsynced, self._synced_at = 0, time.monotonic()
        self._descriptor = self._open(private)
        try:
            _lock(self._descriptor, path)
            self.fresh = _is_unbegun(path) or not (resume or _has_lines(path))
            if self.fresh:
                os.ftruncate(self._descriptor, 0)
                self._end = 0
                self.append({_HEADER: FORMAT, **header})
                self.contents = Contents({_HEADER: FORMAT, **header}, whole=self._end)
                self.sync()
                sync_folder(path.parent)
            else:
                self.contents = read_journal(path)
                if not resume:
                    raise _exists(path, self.contents)
                # Appending to a torn line would damage the next one too.
                os.ftruncate(self._descriptor, self.contents.whole)
                self._end = self.contents.whole
            if private and hasattr(os, "fchmod"):
                os.fchmod(self._descriptor, 0o600)
            self._reader = path.open("rb")
        except StorageError:
            os.close(self._descriptor)
            if self._end == 0:
                path.unlink(missing_ok=True)
            raise
        except OSError as error:
            os.close(self._descriptor)
            raise self._failed(error) from error
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, document: Document) -> int:
        """Write one line and return its offset; the line is whole or absent.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        offset, line = self._end, line_of(document)
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            self._unsynced += 1
            if self._unsynced >= _SYNC_LINES or time.monotonic() - self._synced_at >= _SYNC_SECONDS:
                self._sync()
        except OSError as error:
            # A full disk still lets a file become shorter.
            with suppress(OSError):
                os.ftruncate(self._descriptor, offset)
            raise self._failed(error) from error
        self._end = offset + len(line)
        return offset

    def read(self, offset: int) -> Document | None:
        """Return the line at an offset; None if it is damaged."""
        return document_at(self._reader, offset)

    def sync(self) -> None:
        """Wait until every line is on the disk.

        Raises
        ------
        StorageError
            If the file system cannot do that.
        """
        try:
            self._sync()
        except OSError as error:
            raise self._failed(error) from error

    def _sync(self) -> None:
        if self._unsynced:
            os.fsync(self._descriptor)
        self._unsynced, self._synced_at = 0, time.monotonic()

    def close(self) -> None:
        """Close the files; lines that were not synchronised are left to the operating system."""
        with suppress(OSError):
            self._sync()
        with suppress(OSError):
            self._reader.close()
        with suppress(OSError):
            os.close(self._descriptor)

    def _open(self, private: bool) -> int:
        flags = (
            os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
        try:
            descriptor = os.open(self.path, flags, 0o600 if private else 0o666)
        except OSError as error:
            raise JournalError(
                f"the journal cannot be written ({error.strerror})",
                where=str(self.path),
                remedy="choose another folder with --journal FILE",
            ) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise JournalError("is not a file", where=str(self.path), remedy="choose another --journal")
        return descriptor

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(
            f"the journal cannot be written: {error.strerror or 'unknown reason'};"
            " all results so far are in it",
            where=str(self.path),
            remedy="make room or restore the disk, then run the same command with --resume",
        )


def _is_unbegun(path: Path) -> bool:
    """Return whether a file is empty or holds a part of a header: its run was killed before anything else."""
    with path.open("rb") as file:
        head = file.readline(_LONGEST)
    start = _SUM[: _SUM.index(b"%")]
    return not head.endswith(b"\n") and head[: len(start)] == start[: len(head)]


def _has_lines(path: Path) -> bool:
    """Return whether a journal holds a result, or a line that may have been one."""
    contents = read_journal(path)
    return bool(contents.results or contents.damaged)


def _exists(path: Path, contents: Contents) -> JournalError:
    results = contents.results
    return JournalError(
        "is the journal of an earlier run, with the results of"
        f" {results} {'file' if results == 1 else 'files'}",
        where=str(path),
        remedy="go on with --resume, or delete it to start again",
    )


def _lock(descriptor: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise JournalError(
            "another run is writing to this journal", where=str(path), remedy="wait for its end, or stop it"
        ) from None
    except OSError:
        # Some network file systems have no locks.
        return


def differences(
    journal: Document, other: Document, first: str = "in the journal", second: str = "now"
) -> list[str]:
    """Say in what two headers differ, one phrase per difference, most important first.

    Parameters
    ----------
    journal, other
        The headers.
    first, second
        What to call them.
    """
    before, after = _stated(journal), _stated(json.loads(json.dumps(other)))
    names = [name for name in {**after, **before} if before.get(name) != after.get(name)]
    phrases = [_difference(name, (before.get(name), first), (after.get(name), second)) for name in names]
    return list(dict.fromkeys(phrases))


def _difference(name: str, *values: tuple[Any, str]) -> str:
    label = _LABELS.get(name, name.replace(".", " ").replace("_", " "))
    secret = name == "options.hash_ids"
    if not secret and all(value is None or isinstance(value, str | int) for value, _ in values):
        return f"{label} ({', '.join(f'{_shown(value)} {where}' for value, where in values)})"
    return label


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return text[:8] if len(text) == _SHA256_DIGITS else text


_SHA256_DIGITS = 64
# What a setting was before journals stated it.
_BEFORE = {"options.decode": "full"}
_LABELS = {
    "model.name": "model",
    "model.hashes.weights": "weights",
    "model.hashes.preprocessing": "preprocessing",
    "model.hashes.findings": "prompts of the finding set",
    "model.hashes.adaptation": "adaptation",
    "model.members": "models of the ensemble",
    "findings.name": "finding set",
    "findings.ids": "findings",
    "options.by": "--by",
    "options.views": "--views",
    "options.window": "--window",
    "options.accept_any": "--accept-any",
    "options.decode": "--decode",
    "options.include_phi": "--include-phi",
    "options.hash_ids": "--hash-ids, or its key",
    "options.content_hashes": "--content-hashes",
    "input_check.mode": "--input-check",
    "input_check.hash": "input check",
    "shard": "--shard",
    "shards": "the number of shards",
}


def _stated(header: Document) -> Document:
    """Return the settings of a header by name, with those that earlier releases did not write."""
    return (_BEFORE if "options" in header else {}) | _flat(header)


def _flat(document: Mapping[str, Any], above: str = "") -> Document:
    flat: Document = {}
    for name, value in document.items():
        if name == "calibration" or not isinstance(value, Mapping):
            flat[above + name] = value
        else:
            flat |= _flat(value, f"{above}{name}.")
    return flat
