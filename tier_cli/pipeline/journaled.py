"""Score only the files that a journal does not have yet; give the results of all in their order."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import stat
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.errors import JournalError
from tier_cli.imaging.discover import PAUSE
from tier_cli.imaging.opening import open_file
from tier_cli.results.journal import Contents, Document, Journal, path_key, set_place
from tier_cli.results.record import Failure, FindingScore, InputCheckResult, ModelStamp, Result, Unit

if TYPE_CHECKING:
    from tier_cli.imaging.discover import Source
    from tier_cli.pipeline.shards import Shard

# A run that is resumed refuses these again, whatever has changed outside the file; it tries all others again.
LASTING = frozenset(
    {
        *("view", "body_part", "modality", "presentation_intent", "frames", "blank", "mask"),
        *("photometric", "too_small", "not_an_image", "not_finite", "input_check"),
        *("damaged", "costly"),
    }
)
# Errors that the name of a file alone causes.
_ODD_NAMES = (errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells whether a file has changed.

    Parameters
    ----------
    size, mtime_ns
        Length in bytes and time of the last change; None if the file cannot be reached.
    sha256
        Hash of the content; None unless asked for, and for an empty file.
    """

    size: int | None = None
    mtime_ns: int | None = None
    sha256: str | None = None


def state_of(path: str, with_hash: bool = False) -> FileState:
    """Return the state of a file; only a regular file is opened."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return FileState()
        digest = None
        if with_hash and status.st_size:
            with open_file(path) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileState(status.st_size, status.st_mtime_ns, digest)
    except (OSError, ValueError):
        return FileState()


class _Known:
    """The results that a journal had when it was opened, by path."""

    def __init__(self, contents: Contents):
        keys = np.frombuffer(contents.keys, np.uint64)
        # Stable: of several lines of one file, the last counts.
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._offsets = np.frombuffer(contents.offsets, np.int64)[order]
        self._asked_for = np.zeros(len(keys), dtype=bool)

    def offset(self, path: str) -> int | None:
        key = np.uint64(path_key(path))
        found = int(np.searchsorted(self._keys, key, side="right")) - 1
        if found < 0 or self._keys[found] != key:
            return None
        self._asked_for[found] = True
        return int(self._offsets[found])

    @property
    def not_asked_for(self) -> int:
        """The number of files that `offset` was not asked for."""
        last = np.append(self._keys[1:] != self._keys[:-1], True)[: len(self._keys)]
        return int(np.count_nonzero(last & ~self._asked_for))


class JournaledRun:
    """One run over the sources of a command, of which a part may be in the journal already.

    Parameters
    ----------
    journal
        Open for this run.
    results
        Turns lines into results.
    shard
        The part of the sources that this run scores; None for all.
    with_hashes
        Record and compare a hash of each file's content.
    hide
        Replaces paths, if ids are hashed.
    fail_fast
        Stop at the first file with an error, also at one of an earlier run.
    tick
        Called once for each source that need not be scored.

    Attributes
    ----------
    kept
        The number of files whose results an earlier run had.
    lost
        The number of files that seem to be on a file system that was lost.
    """

    def __init__(
        self,
        journal: Journal,
        results: JournalResults,
        *,
        shard: Shard | None = None,
        with_hashes: bool = False,
        hide: Callable[[str], str] = str,
        fail_fast: bool = False,
        tick: Callable[[], object] = lambda: None,
    ):
        self._journal, self._results, self._shard = journal, results, shard
        self._with_hashes, self._hide, self._fail_fast, self._tick = with_hashes, hide, fail_fast, tick
        self._known = _Known(journal.contents)
        self._before = journal.contents.places
        self._places: array[int] = array("q")
        self._waiting: deque[tuple[int, Source, FileState]] = deque()
        self._passed_over: deque[tuple[str, str]] = deque()
        self._digest = hashlib.blake2b(digest_size=16)
        self._seen = self.kept = self.lost = 0
        self._exhausted = False

    def pass_over(self, path: str, reason: str) -> None:
        """Note a file that is no image; it is written with the next source."""
        self._passed_over.append((path, reason))

    def left(self, sources: Iterable[Source]) -> Iterator[Source]:
        """Yield the sources that are to be scored; the result of each must come to `keep`, in order."""
        for source in sources:
            self._write_passed_over()
            if source is PAUSE:
                yield source
                # The results of all sources so far have been kept when the next one is asked for.
                self._journal.sync()
                continue
            number = self._seen
            self._seen += 1
            path = self._hide(source.shown)
            self._digest.update(path.encode("utf-8", "surrogatepass") + b"\0")
            if self._shard is not None and not self._shard.has(source.path):
                continue
            state = FileState() if source.error else state_of(source.path, self._with_hashes)
            result = self._kept(number, path, state)
            if result is None:
                self._waiting.append((number, source, state))
                yield source
                continue
            self.kept += 1
            self._tick()
            if self._fail_fast and result.error is not None:
                return
        self._write_passed_over()
        self._exhausted = True

    @property
    def complete(self) -> bool:
        """Whether all sources were seen and have a result."""
        return self._exhausted and not self._waiting

    @property
    def has_results(self) -> bool:
        """Whether any file has a result."""
        return any(place >= 0 for place in chain(self._places, self._before))

    def _kept(self, number: int, path: str, state: FileState) -> Result | None:
        """Return the result of an earlier run if it holds for the file as it is, and note its place."""
        latest = self._known.offset(path)
        if latest is None or state.size is None:
            return None
        own = self._before[number] if number < len(self._before) else -1
        # Where a list names a file twice, each has its own line.
        for offset in (own, latest) if own >= 0 else (latest,):
            line = self._journal.read(offset)
            if line is not None and line.get("path") == path and _state_in(line) == state:
                break
        else:
            return None
        result = self._results.result(line)
        if result.error is not None and result.error.kind not in LASTING:
            return None
        if offset != own:
            # The files before it are others now: the line counts for another number.
            offset = self._journal.append({**line, "n": number})
        set_place(self._places, number, offset)
        return result

    def keep(self, result: Result) -> None:
        """Write the result of the next of the sources that `left` has yielded.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        number, source, state = self._waiting.popleft()
        if result.error is not None and _is_lost(source):
            self.lost += 1
            state = FileState()
        line = line_for(number, self._hide(source.shown), state, result)
        set_place(self._places, number, self._journal.append(line))

    def finish(self, passed_over: Mapping[str, int]) -> int:
        """Write that the run is complete.

        Parameters
        ----------
        passed_over
            The number of files that are no images, by reason.

        Returns
        -------
        The number of files with a result that are no longer among the sources.
        """
        for number, place in enumerate(self._before):
            if place >= 0 and (number >= len(self._places) or self._places[number] < 0):
                self._journal.append({"n": number, "gone": True})
        end = {"files": self._seen, "sources": self._digest.hexdigest(), "passed_over": dict(passed_over)}
        self._journal.append({"end": end})
        self._journal.sync()
        return self._known.not_asked_for

    def results(self) -> Generator[Result, None, None]:
        """Yield the results in the order of the sources; after an interruption, those that there are."""
        reached = self._places
        ended = self.complete or self._fail_fast
        for number in range(len(reached) if ended else max(len(reached), len(self._before))):
            place = reached[number] if number < len(reached) else -1
            if place < 0 and not ended and number < len(self._before):
                place = self._before[number]
            if place < 0:
                continue
            result = self._results.at(self._journal, place)
            yield result
            if self._fail_fast and result.error is not None:
                return

    def _write_passed_over(self) -> None:
        while self._passed_over:
            path, reason = self._passed_over.popleft()
            hidden = self._hide(path)
            mine = self._shard is None or self._shard.has_path(path)
            if mine and path_key(hidden) not in self._journal.contents.passed_over:
                self._journal.append({"passed_over": reason, "path": hidden})


def _is_lost(source: Source) -> bool:
    """Return whether a file seems to have been on a file system that was lost."""
    try:
        os.stat(source.path)
    except FileNotFoundError:
        # A name that was never right has its folder, mostly.
        return source.error is None or not os.path.isdir(os.path.dirname(source.path) or os.curdir)
    except (NotADirectoryError, PermissionError, ValueError):
        return False
    except OSError as error:
        return error.errno not in _ODD_NAMES
    return False


@dataclass(frozen=True)
class JournalResults:
    """Turns the lines of a journal into results.

    Parameters
    ----------
    stamp, scoring, unit, ids, check
        What all results of the run share: the model, its rule, the unit, the findings, and the SHA-256 of the
        input check, empty without one.
    """

    stamp: ModelStamp
    scoring: str
    unit: Unit
    ids: tuple[str, ...]
    check: str = ""

    def at(self, journal: Journal, offset: int) -> Result:
        """Return the result that a line holds.

        Raises
        ------
        JournalError
            If the line was damaged since the journal was opened.
        """
        line = journal.read(offset)
        if line is None:
            raise JournalError(
                f"the line at byte {offset} was damaged during the run",
                where=str(journal.path),
                remedy="run the same command with --resume",
            )
        return self.result(line)

    def result(self, line: Document) -> Result:
        """Return the result of a line; raises `JournalError` if it is not valid."""
        try:
            error = line.get("error")
            scores = line.get("scores") or ()
            if error is None and not (len(scores) == len(self.ids) and all(map(math.isfinite, scores))):
                raise ValueError
            return Result(
                (str(line["path"]),),
                self.stamp,
                self.scoring,
                unit=self.unit,
                findings=tuple(
                    FindingScore(name, float(x)) for name, x in zip(self.ids, scores, strict=False)
                ),
                error=None if error is None else Failure(str(error["kind"]), str(error["message"])),
                **{name: str(line.get(name, "")) for name in _TEXTS},
                notes=tuple(map(str, line.get("notes", ()))),
                phi=dict(line.get("phi", {})),
                input_check=self._checked(line.get("input_check")),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as problem:
            raise JournalError(
                f"the line of file number {line.get('n')} is not valid",
                remedy="start again with a new journal",
            ) from problem

    def _checked(self, found: Any) -> InputCheckResult | None:
        if found is None:
            return None
        score, looks_like = found
        return InputCheckResult(float(score), str(looks_like), self.check)


_TEXTS = ("study", "series", "instance", "view")


def line_for(number: int, path: str, state: FileState, result: Result) -> Document:
    """Return the line of a journal for the result of a file.

    Parameters
    ----------
    number
        The file's place among the sources.
    path, state, result
        Its name and state, and its result.
    """
    return {"n": number, "path": path, **_state(state), **_outcome(result)}


def _outcome(result: Result) -> Document:
    """Return what a line says of a result, without what all results of the run share."""
    document: Document = {name: getattr(result, name) for name in _TEXTS if getattr(result, name)}
    if result.notes:
        document["notes"] = list(result.notes)
    if result.phi:
        document["phi"] = dict(result.phi)
    if result.input_check is not None:
        document["input_check"] = [result.input_check.score, result.input_check.looks_like]
    if result.error is not None:
        document["error"] = {"kind": result.error.kind, "message": result.error.message}
    else:
        # All digits: means by study are computed from them.
        document["scores"] = [score.score for score in result.findings]
    return document


def _state(state: FileState) -> dict[str, Any]:
    known = {"size": state.size, "mtime_ns": state.mtime_ns}
    return known if state.sha256 is None else {**known, "sha256": state.sha256}


def _state_in(line: Document) -> FileState:
    return FileState(line.get("size"), line.get("mtime_ns"), line.get("sha256"))
