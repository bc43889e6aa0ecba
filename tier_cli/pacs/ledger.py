"""Keep the results of received images in a journal that goes on over restarts."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.errors import JournalError
from tier_cli.pipeline.journal_header import header_of
from tier_cli.pipeline.journaled import FileState, JournalResults, line_for
from tier_cli.results.journal import Document, Journal, differences, path_key

if TYPE_CHECKING:
    from tier_cli.pipeline.image_scorer import ImageScorer
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions
    from tier_cli.results.record import Result

# The journal in the folder of --output.
JOURNAL = "scores.journal"


class Ledger:
    """The results of all images so far, by their paths.

    About 200 bytes of memory per image; the results themselves stay in the journal.

    Parameters
    ----------
    journal
        Open for this run.
    results
        Turns its lines into results.
    """

    def __init__(self, journal: Journal, results: JournalResults):
        self._journal, self._results = journal, results
        contents = journal.contents
        self._offsets = dict(zip(contents.keys, contents.offsets, strict=True))
        self._next = len(contents.places)
        # The journal reads by position, and threads that receive look results up.
        self._lock = threading.Lock()

    @classmethod
    def open(cls, folder: Path, job: ScoringJob, scorer: ImageScorer, options: StreamOptions) -> Ledger:
        """Open the journal of a folder, or begin it.

        Raises
        ------
        JournalError
            If another process writes to it, or if it was written with other settings.
        StorageError
            If it cannot be written.
        """
        header = header_of(job, scorer, options, columns=scorer.check != "")
        journal = Journal(folder / JOURNAL, header, resume=True, private=True)
        before = {name: value for name, value in journal.contents.header.items() if name != "journal"}
        if not journal.fresh and (found := differences(before, header)):
            journal.close()
            raise JournalError(
                f"was written with other settings: {', '.join(found[:4])}",
                where=str(journal.path),
                remedy="give the same, or name another folder with --output",
            )
        results = JournalResults(job.stamp, job.scoring, options.by, job.findings.ids, scorer.check)
        return cls(journal, results)

    def __len__(self) -> int:
        return len(self._offsets)

    def result(self, path: str) -> Result | None:
        """Return the result of an image; None if it has none."""
        line = self._line(path)
        return None if line is None else self._results.result(line)

    def has_score(self, path: str) -> bool:
        """Return whether an image was scored; one with an error may come again."""
        line = self._line(path)
        return line is not None and "error" not in line

    def state(self, path: str) -> FileState | None:
        """Return the state of the file that the result of an image holds for; None if it has none."""
        line = self._line(path)
        return None if line is None else FileState(line.get("size"), line.get("mtime_ns"))

    def keep(self, path: str, state: FileState, result: Result) -> None:
        """Append a result; raises `StorageError`."""
        line = self._line(path)
        with self._lock:
            # Of several results of one image, the last counts.
            number = self._next if line is None else int(line["n"])
            self._offsets[path_key(path)] = self._journal.append(line_for(number, path, state, result))
            self._next = max(self._next, number + 1)

    def sync(self) -> None:
        """Wait until every result is on the disk; raises `StorageError`."""
        with self._lock:
            self._journal.sync()

    def close(self) -> None:
        """Write that the journal holds all results so far, for `tier merge`, and close it."""
        with self._lock:
            if self._next:
                self._journal.append({"end": {"files": self._next, "sources": "", "passed_over": {}}})
            self._journal.close()

    def _line(self, path: str) -> Document | None:
        with self._lock:
            offset = self._offsets.get(path_key(path))
            line = None if offset is None else self._journal.read(offset)
        return line if line is not None and line.get("path") == path else None
